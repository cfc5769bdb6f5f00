//! Keys of the reference implementation's validator that something else replaces.

use super::{form::Form, logging, yaml::Node};

pub fn read(form: &mut Form) {
    logging::log_dir(form);
    let at_once = "a proof is verified as soon as a verifier is free";
    form.replaced("validation.verification_interval", Node::Whole(30), at_once);
}
