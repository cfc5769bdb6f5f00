//! Keys of a validator's file that are checked and have no effect in this version: the marketplace;
//! and those of the reference implementation that something else replaces.

use super::{
    form::{Form, text_of},
    gpu_matrix::texts_of,
    logging,
    shared::DAY_S,
    yaml::Node,
};

pub fn read(form: &mut Form) {
    meshhub(form);
    logging::log_dir(form);
    let at_once = "a proof is verified as soon as a verifier is free";
    form.replaced("validation.verification_interval", Node::Whole(30), at_once);
}

fn meshhub(form: &mut Form) {
    let url = form.value("meshhub.ws_url", Node::Null, "ws://host:port/path or wss://host:port/path", |node| {
        text_of(node).filter(|url| url.starts_with("ws://") || url.starts_with("wss://"))
    });
    inline_token(form);
    form.path("meshhub.access_token_file");
    let default = ["hardware_inspection", "challenge_validation"].map(|text| Node::Text(text.into()));
    form.value("meshhub.capabilities", Node::List(default.into()), "a list of texts", texts_of);
    form.seconds("meshhub.reconnect_delay_seconds", 30, 1.0..=DAY_S);
    form.seconds("meshhub.heartbeat_interval_seconds", 60, 1.0..=DAY_S);
    form.seconds("meshhub.resource_report_interval_seconds", 90, 1.0..=DAY_S);
    if url.is_some() {
        form.warn(
            "meshhub.ws_url",
            "this version has no marketplace client; nothing is leased, every lease score is 0",
        );
    }
}

/// The token itself is refused, and never quoted.
fn inline_token(form: &mut Form) {
    let path = "meshhub.access_token";
    let empty = |node: &Node| matches!(node, Node::Text(text) if text.is_empty()).then_some(());
    form.secret(path, "left out: put the token into a file and name it in meshhub.access_token_file", empty);
}
