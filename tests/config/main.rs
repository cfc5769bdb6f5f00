//! The shipped configurations as test inputs, and what a file may and may not say.

mod examples;
mod refusals;
mod values;
