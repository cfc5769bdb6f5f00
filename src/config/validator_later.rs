//! Keys of a validator's file that are checked and have no effect in this version: the marketplace and
//! gpu_matrix challenges; and those of the reference implementation that something else replaces.

use super::{
    form::{Form, text_of},
    logging,
    shared::DAY_S,
    yaml::Node,
};

pub fn read(form: &mut Form) {
    meshhub(form);
    gpu(form);
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

fn gpu(form: &mut Form) {
    let others = ["matrix_size", "size_variance", "iterations", "enable_normalization", "verification"];
    if others.iter().any(|key| form.is_set(&format!("validation.gpu.{key}"))) {
        let text = "of its keys only model_allowlist has an effect: this version gives no gpu_matrix challenges; \
                    validation.gemm_i8.gpu has the sizes of those that GPUs get";
        form.warn("validation.gpu", text);
    }
    form.whole("validation.gpu.matrix_size", 32_768, 1..=1_048_576);
    form.number("validation.gpu.size_variance", 0.05, 0.0..=0.5);
    form.whole("validation.gpu.iterations", 1, 1..=100);
    form.flag("validation.gpu.enable_normalization", false);
    form.whole("validation.gpu.verification.coordinate_sample_count", 25, 1..=100_000);
    form.number("validation.gpu.verification.coordinate_sample_count_variance", 0.2, 0.0..=1.0);
    form.whole("validation.gpu.verification.row_verification_count", 2, 0..=10_000);
    form.number("validation.gpu.verification.row_verification_count_variance", 0.5, 0.0..=1.0);
    form.number("validation.gpu.verification.row_sample_rate", 0.001, 0.0..=1.0);
    form.number("validation.gpu.verification.abs_tolerance", 0.02, 0.0..=1.0);
    form.number("validation.gpu.verification.rel_tolerance", 0.005, 0.0..=1.0);
    form.number("validation.gpu.verification.success_rate_threshold", 0.85, 0.0..=1.0);
}

pub fn texts_of(node: &Node) -> Option<Vec<String>> {
    let Node::List(items) = node else { return None };
    items.iter().map(text_of).collect()
}
