//! What a lease is worth when its source falls silent.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    form::{Form, text_of},
    shared::DAY_S,
    yaml::Node,
};

/// What becomes of the leases of a source that says nothing for longer than [`Leases::max_age`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnOutage {
    /// The last facts stay in force, however old.
    #[default]
    Hold,
    /// They fall to nothing from `max_age` to twice that, in a straight line.
    Decay,
    /// They are nothing from `max_age` on.
    Zero,
}

/// Who says what is leased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeaseSource {
    /// Nobody: nothing is leased.
    #[default]
    None,
    File,
    Meshhub,
}

impl LeaseSource {
    pub fn as_str(self) -> &'static str {
        match self {
            LeaseSource::None => "none",
            LeaseSource::File => "file",
            LeaseSource::Meshhub => "meshhub",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Leases {
    pub source: LeaseSource,
    /// Of [`LeaseSource::File`], as written.
    pub file: Option<PathBuf>,
    pub on_outage: OnOutage,
    /// A silence as long as this is an outage.
    pub max_age: Duration,
}

/// `marketplace`: the key that names one.
pub(super) fn read(form: &mut Form, marketplace: &'static str) -> Leases {
    let (hub, marketplace) = (marketplace, form.is_set(marketplace));
    let outages = [("hold", OnOutage::Hold), ("decay", OnOutage::Decay), ("zero", OnOutage::Zero)];
    let source = source(form, marketplace);
    form.relation(
        source != LeaseSource::Meshhub || marketplace,
        SOURCE,
        hub,
        "none or file, where meshhub.ws_url is not set",
    );
    let file = form.path(FILE);
    form.relation(source != LeaseSource::File || file.is_some(), FILE, SOURCE, "a path, where leases.source is file");
    let is_named = file.as_deref().is_none_or(|file| {
        let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        FORMS.iter().any(|form| extension.eq_ignore_ascii_case(form))
    });
    form.relation(is_named, FILE, SOURCE, "a path that ends in .json, .yaml or .yml");
    if file.is_some() && source != LeaseSource::File {
        form.warn(FILE, "has no effect: leases.source is not file");
    }
    Leases {
        source,
        file,
        on_outage: form.word("leases.on_outage", "hold", &outages).unwrap_or_default(),
        max_age: form.seconds("leases.max_age", 3600, 60.0..=30.0 * DAY_S),
    }
}

const SOURCE: &str = "leases.source";
const FILE: &str = "leases.file";
const FORMS: [&str; 3] = ["json", "yaml", "yml"];

fn source(form: &mut Form, marketplace: bool) -> LeaseSource {
    let all = [LeaseSource::None, LeaseSource::File, LeaseSource::Meshhub];
    let allowed = "none, file, meshhub, or null: meshhub where meshhub.ws_url is set, else none";
    let read = |node: &Node| all.into_iter().find(|it| text_of(node).is_some_and(|text| text == it.as_str()));
    let default = if marketplace { LeaseSource::Meshhub } else { LeaseSource::None };
    form.value(SOURCE, Node::Null, allowed, read).unwrap_or(default)
}
