//! A call carried through: signed, handed in, looked for until it is final, and how it ended there.
//!
//! Progress goes to standard error, a line a step. A node that does not answer is asked again; an extrinsic is
//! signed once, so that one run never does a thing twice.

use std::{
    io::{self, Write},
    time::Duration,
};

use byteleap::{
    exit::Failure,
    machine::contract::chain::{ChainCall, ChainFaultKind, ChainReply, ChainRequest, Inclusion, SignedExtrinsic},
    spoke::chain::rpc::to_hex,
    units::BlockNumber,
};
use crossbeam::channel::after;

use super::node::{Node, unasked, words};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(2);

/// An era has 64 blocks at most, and finality follows: whatever comes later is not waited for.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// Where the call succeeded, finally.
pub struct Done {
    pub block: BlockNumber,
    pub hash: [u8; 32],
}

pub fn through(node: &mut Node, call: ChainCall) -> Result<Done, Failure> {
    let signed = match node.ask(&ChainRequest::Sign(Box::new(call)))? {
        ChainReply::Signed(signed) => *signed,
        _ => return Err(unasked("sign")),
    };
    let hash = to_hex(&signed.submission.hash);
    hand_in(node, &signed)?;
    say(&format!("handed in as {hash}; waiting for a block"));
    let block = wait(node, &signed)?;
    say(&format!("final in block {block}"));
    Ok(Done { block, hash: signed.submission.hash })
}

/// An answer that does not come says nothing of whether the bytes arrived: the same ones are handed in again, which
/// does no harm.
fn hand_in(node: &mut Node, signed: &SignedExtrinsic) -> Result<(), Failure> {
    let start = node.mono();
    loop {
        match node.try_ask(&ChainRequest::Submit(Box::new(signed.clone()))) {
            Ok(ChainReply::Submitted(_)) => return Ok(()),
            Ok(_) => return Err(unasked("submit")),
            Err(fault) if may_pass(fault.kind) && node.mono().since(start) < PATIENCE => say(&words(&fault)),
            Err(fault) if may_pass(fault.kind) => {
                let why = format!("{}; whether it arrived is not known", words(&fault));
                return Err(under_way(node, signed, &why));
            }
            Err(fault) => return Err(Failure::failed(words(&fault))),
        }
        // it always comes
        let _ = after(LOOK).recv();
    }
}

fn wait(node: &mut Node, signed: &SignedExtrinsic) -> Result<BlockNumber, Failure> {
    let hash = to_hex(&signed.submission.hash);
    let (start, mut seen_in) = (node.mono(), None);
    while node.mono().since(start) < PATIENCE {
        match node.try_ask(&ChainRequest::Find(signed.submission.clone())) {
            Ok(ChainReply::Found(Inclusion::Succeeded { block, is_final: true })) => return Ok(block),
            Ok(ChainReply::Found(Inclusion::Succeeded { block, .. })) if seen_in != Some(block) => {
                seen_in = Some(block);
                say(&format!("in block {block}; waiting until that is final"));
            }
            Ok(ChainReply::Found(Inclusion::Refused { block, error, is_final: false, .. }))
                if seen_in != Some(block) =>
            {
                seen_in = Some(block);
                say(&format!("refused in block {block} ({error}); waiting until that is final"));
            }
            Ok(ChainReply::Found(Inclusion::Refused { block, error, remedy, is_final: true })) => {
                let remedy = remedy.map(|remedy| format!("; {remedy}")).unwrap_or_default();
                return Err(Failure::failed(format!("the chain refused it in block {block}: {error}{remedy}")));
            }
            Ok(ChainReply::Found(Inclusion::Expired)) => {
                return Err(Failure::failed(format!("no block took {hash} in time; nothing was done, run it again")));
            }
            Ok(ChainReply::Found(_)) => {}
            Ok(_) => return Err(unasked("find")),
            Err(fault) if may_pass(fault.kind) => say(&words(&fault)),
            Err(fault) => return Err(under_way(node, signed, &words(&fault))),
        }
        // it always comes
        let _ = after(LOOK).recv();
    }
    let minutes = PATIENCE.as_secs() / 60;
    Err(under_way(node, signed, &format!("not final after {minutes} min")))
}

/// It ends here, and not on the chain: what was handed in may be done yet, or is done already.
fn under_way(node: &Node, signed: &SignedExtrinsic, why: &str) -> Failure {
    let (hash, until) = (to_hex(&signed.submission.hash), signed.submission.until);
    let look = node.command("metagraph");
    Failure::failed(format!(
        "{why}; extrinsic {hash} is under way all the same, and a block up to {until} may take it: look with {look} \
         whether it was done, before it is run again"
    ))
}

fn may_pass(kind: ChainFaultKind) -> bool {
    matches!(kind, ChainFaultKind::Unreachable | ChainFaultKind::RateLimited | ChainFaultKind::Upgrading)
}

pub fn say(text: &str) {
    // nobody may be there to read it
    let _ = writeln!(io::stderr(), "{text}");
}
