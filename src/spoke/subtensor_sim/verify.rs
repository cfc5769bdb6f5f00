//! Whether an offered extrinsic may enter the pool: what a node's runtime validates, in its order.

use super::{
    Node,
    blocks::Hash,
    journal,
    pallet::{self, PalletCall},
    pool::{Extrinsic, Pooled, Refusal},
};
use crate::{
    spoke::chain::{
        extrinsic::{Context, Parsed, Signed, parse},
        hash::blake2_256,
        metadata::ShapeFault,
        rpc::NodeError,
    },
    units::{BlockNumber, Hotkey},
    wire::keys,
};

impl Node {
    /// Takes an extrinsic into the pool, or refuses it; a refusal goes to the journal.
    pub(super) fn submit(&mut self, bytes: &[u8]) -> Result<Hash, NodeError> {
        let hash = blake2_256(bytes);
        let read = self.describe(bytes, hash);
        let admitted = match &read {
            Ok((signed, extrinsic)) => self.validate(bytes, signed, extrinsic),
            Err(refusal) => Err(refusal.clone()),
        };
        let Err(refusal) = admitted.and_then(|pooled| self.pool.add(pooled)) else { return Ok(hash) };
        let error = refusal.error();
        let extrinsic = read.ok().map(|(_, extrinsic)| extrinsic);
        self.write_journal(journal::refused(self.wall, self.best(), &hash, extrinsic.as_ref(), &error));
        Err(error)
    }

    fn describe<'a>(&self, bytes: &'a [u8], hash: Hash) -> Result<(Signed<'a>, Extrinsic), Refusal> {
        let format = |why: ShapeFault| Refusal::Format(why.to_string());
        let signed = match parse(&self.metadata, bytes).map_err(format)? {
            Parsed::Signed(signed) => signed,
            Parsed::Bare { .. } => return Err(Refusal::Format("an inherent cannot be submitted".into())),
        };
        let (name, value) = self.metadata.read_call(signed.call).map_err(format)?;
        let call = PalletCall::read(&name, &value);
        let arguments = journal::to_json(&value);
        let extrinsic = Extrinsic { hash, signer: signed.signer, nonce: signed.nonce, call, name, arguments };
        Ok((signed, extrinsic))
    }

    fn validate(&self, bytes: &[u8], signed: &Signed, extrinsic: &Extrinsic) -> Result<Pooled, Refusal> {
        let next = self.best() + 1;
        self.check(signed, &extrinsic.hash, next)?;
        let call = extrinsic.call.clone().ok_or(Refusal::Call)?;
        pallet::admit(&self.subnet, next, &signed.signer, &call).map_err(Refusal::Custom)?;
        let until = signed.era.map_or(BlockNumber::MAX, |era| era.last(next));
        Ok(Pooled { bytes: bytes.to_vec(), until, call, extrinsic: extrinsic.clone() })
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
            spec_version: self.spec_version,
            transaction_version: self.transaction_version,
            era: signed.era,
            birth_hash,
            nonce: signed.nonce,
        };
        let payload = signed.payload(&self.metadata, &context).map_err(|why| Refusal::Format(why.to_string()))?;
        if !keys::verify(&Hotkey::from_account(&signed.signer), &payload, &signed.signature) {
            return Err(Refusal::BadSignature);
        }
        if signed.nonce < u64::from(self.subnet.nonce(&signed.signer)) {
            return Err(Refusal::Stale);
        }
        Ok(())
    }
}
