//! The shipped configurations as test inputs, and what a file may and may not say.

mod check;
mod examples;
mod refusals;
mod values;
