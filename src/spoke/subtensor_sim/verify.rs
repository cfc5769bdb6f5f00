//! Whether an offered extrinsic may enter the pool: what a node's runtime validates, in its order.

use super::{
    Node,
    blocks::Hash,
    call::PalletCall,
    drand::Drand,
    journal,
    pallet::{self, Moment},
    pool::{Extrinsic, Pooled, Refusal},
};
use crate::{
    spoke::chain::{
        extrinsic::{Context, Parsed, Signed, parse},
        hash::blake2_256,
        metadata::ShapeFault,
        rpc::NodeError,
        timelock::COMMIT_BYTES_MAX,
    },
    units::{BlockNumber, Hotkey},
    wire::keys,
};

impl Node {
    /// An extrinsic that was handed in, once, or twice where the fault wants it so.
    pub(super) fn hand_in(&mut self, bytes: &[u8]) -> Result<Hash, NodeError> {
        let first = self.submit(bytes);
        if self.faults.duplicating { self.submit(bytes) } else { first }
    }

    /// Takes an extrinsic into the pool, or refuses it; a refusal goes to the journal.
    pub(super) fn submit(&mut self, bytes: &[u8]) -> Result<Hash, NodeError> {
        let hash = blake2_256(bytes);
        let read = self.describe(bytes, hash);
        let admitted = match &read {
            Ok((signed, extrinsic)) => self.validate(bytes, signed, extrinsic),
            Err(refusal) => Err(refusal.clone()),
        };
        let Err(refusal) = admitted.and_then(|pooled| self.take(pooled)) else { return Ok(hash) };
        let error = refusal.error();
        let extrinsic = read.ok().map(|(_, extrinsic)| extrinsic);
        self.write_journal(journal::refused(self.clock.wall, self.best(), &hash, extrinsic.as_ref(), &error));
        Err(error)
    }

    fn take(&mut self, pooled: Pooled) -> Result<(), Refusal> {
        if !self.faults.loses() {
            return self.pool.add(pooled);
        }
        self.write_journal(journal::left(self.clock.wall, self.best(), &pooled.extrinsic, "lost"));
        Ok(())
    }

    /// What signed extrinsic these bytes are, by the runtime of now.
    pub(super) fn read_signed(&self, bytes: &[u8]) -> Option<(Hash, Extrinsic)> {
        let hash = blake2_256(bytes);
        self.describe(bytes, hash).ok().map(|(_, extrinsic)| (hash, extrinsic))
    }

    fn describe<'a>(&self, bytes: &'a [u8], hash: Hash) -> Result<(Signed<'a>, Extrinsic), Refusal> {
        let metadata = &self.runtime().metadata;
        let format = |why: ShapeFault| Refusal::Format(why.to_string());
        let signed = match parse(metadata, bytes).map_err(format)? {
            Parsed::Signed(signed) => signed,
            Parsed::Bare { .. } => return Err(Refusal::Format("an inherent cannot be submitted".into())),
        };
        let (name, value) = metadata.read_call(signed.call).map_err(format)?;
        let call = PalletCall::read(&name, &value);
        if let Some(PalletCall::CommitTimelocked { commit, .. }) = &call
            && commit.len() > COMMIT_BYTES_MAX
        {
            return Err(Refusal::Format(format!("a commitment of {} bytes", commit.len())));
        }
        let arguments = journal::to_json(&value);
        let extrinsic = Extrinsic { hash, signer: signed.signer, nonce: signed.nonce, call, name, arguments };
        Ok((signed, extrinsic))
    }

    fn validate(&self, bytes: &[u8], signed: &Signed, extrinsic: &Extrinsic) -> Result<Pooled, Refusal> {
        let next = self.best() + 1;
        self.check(signed, &extrinsic.hash, next)?;
        let call = extrinsic.call.clone().ok_or(Refusal::Call)?;
        let now = Moment { block: next, last_round: Drand::last_round(self.best()) };
        pallet::admit(self.state(), now, &signed.signer, &call).map_err(Refusal::Custom)?;
        let until = signed.era.map_or(BlockNumber::MAX, |era| era.last(next));
        let spec_version = self.runtime().spec_version();
        Ok(Pooled { bytes: bytes.to_vec(), until, spec_version, call, extrinsic: extrinsic.clone() })
    }

    /// Signature, era and nonce, as the next block would see them.
    fn check(&self, signed: &Signed, hash: &Hash, next: BlockNumber) -> Result<(), Refusal> {
        self.pool.admit(hash)?;
        let birth_hash = match signed.era {
            Some(era) => self.history.hash_of(era.birth(next)).ok_or(Refusal::AncientBirth)?,
            None => self.history.genesis(),
        };
        let context = Context {
            genesis: self.history.genesis(),
            spec_version: self.runtime().spec_version(),
            transaction_version: self.runtime().transaction_version(),
            era: signed.era,
            birth_hash,
            nonce: signed.nonce,
        };
        let payload =
            signed.payload(&self.runtime().metadata, &context).map_err(|why| Refusal::Format(why.to_string()))?;
        if !keys::verify(&Hotkey::from_account(&signed.signer), &payload, &signed.signature) {
            return Err(Refusal::BadSignature);
        }
        if signed.nonce < u64::from(self.state().nonce(&signed.signer)) {
            return Err(Refusal::Stale);
        }
        Ok(())
    }
}
