//! What operators' dashboards read: one catalogue of names, and a page that renders samples of them.
//!
//! Pure: machines count in [`Counters`], the loop asks them for a [`Page`] and serves its text. Labels are
//! words of the code, never of a peer, so their number is bounded. A measurement that is missing is left
//! out of the page and is not zero.

mod catalogue;
mod counters;
mod page;

pub use catalogue::{Kind, Metric};
pub use counters::{Counters, Histogram};
pub use page::{CONTENT_TYPE, Page};
