//! Signed extrinsics, version 4: making them, and reading them back.
//!
//! Compact(length) ‖ 0x84 ‖ address ‖ signature ‖ extensions ‖ call. What the extensions carry and what is
//! signed beside them comes from the metadata: an unknown extension that is empty is accepted, one that is not
//! is refused by name, because signing what we do not understand is no option.

use parity_scale_codec::{Compact, Encode};
use scale_value::{Composite, Value, ValueDef};

use super::{
    hash::blake2_256,
    metadata::{Extension, Metadata, ShapeFault},
    scale,
};
use crate::{
    units::{AccountId, BlockNumber},
    wire::keys::Keypair,
};

/// Version 4, signed.
const SIGNED_V4: u8 = 0x84;

/// The blocks in which an extrinsic may be included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Era {
    period: u64,
    phase: u64,
}

impl Era {
    /// An era of `period` blocks (rounded up to a power of two, 4 to 4096) that begins at block `birth`.
    pub fn from_birth(birth: BlockNumber, period: u64) -> Era {
        let period = period.clamp(4, 4096).next_power_of_two();
        Era { period, phase: birth % period }
    }

    /// Read from its two bytes; `None` where they are no mortal era.
    pub fn decode(bytes: [u8; 2]) -> Option<Era> {
        let encoded = u64::from(u16::from_le_bytes(bytes));
        let period = 2u64 << (encoded % 16);
        let phase = (encoded >> 4) * quantum(period);
        (period >= 4 && phase < period).then_some(Era { period, phase })
    }

    pub fn encode(self) -> [u8; 2] {
        let exponent = (self.period.trailing_zeros() - 1).clamp(1, 15);
        let phase = self.phase / quantum(self.period);
        // Both fit: the exponent has four bits, and the phase is below 4096 by its quantum.
        ((phase << 4 | u64::from(exponent)) as u16).to_le_bytes()
    }

    /// The block that this era begins with, as seen from block `current`.
    pub fn birth(self, current: BlockNumber) -> BlockNumber {
        (current.max(self.phase) - self.phase) / self.period * self.period + self.phase
    }

    /// The last block that may include an extrinsic of this era, as seen from `current`.
    pub fn last(self, current: BlockNumber) -> BlockNumber {
        self.birth(current).saturating_add(self.period - 1)
    }
}

fn quantum(period: u64) -> u64 {
    (period >> 12).max(1)
}

/// What a signature binds beside the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    pub genesis: [u8; 32],
    pub spec_version: u32,
    pub transaction_version: u32,
    /// `None` is immortal.
    pub era: Option<Era>,
    /// Hash of the block that the era begins with; genesis when immortal.
    pub birth_hash: [u8; 32],
    pub nonce: u64,
}

impl Context {
    /// What extension `of` carries in the extrinsic, and what of it is only signed.
    pub(super) fn extension(&self, metadata: &Metadata, of: &Extension) -> Result<(Vec<u8>, Vec<u8>), ShapeFault> {
        let extra = |value: Value| metadata.encode(&of.name, of.extra, &value);
        let additional = |value: Value| metadata.encode(&of.name, of.additional, &value);
        Ok(match of.name.as_str() {
            "CheckSpecVersion" => (Vec::new(), additional(Value::u128(self.spec_version.into()))?),
            "CheckTxVersion" => (Vec::new(), additional(Value::u128(self.transaction_version.into()))?),
            "CheckGenesis" => (Vec::new(), additional(Value::from_bytes(self.genesis))?),
            "CheckMortality" | "CheckEra" => {
                let era = self.era.map_or_else(|| vec![0], |era| era.encode().to_vec());
                (era, additional(Value::from_bytes(self.birth_hash))?)
            }
            "CheckNonce" => (extra(Value::u128(self.nonce.into()))?, Vec::new()),
            "ChargeTransactionPayment" | "ChargeTransactionPaymentWrapper" => (extra(Value::u128(0))?, Vec::new()),
            "CheckMetadataHash" => {
                let disabled = Value::named_composite([("mode", Value::unnamed_variant("Disabled", []))]);
                (extra(disabled)?, additional(Value::unnamed_variant("None", []))?)
            }
            _ if metadata.is_empty(of.extra) && metadata.is_empty(of.additional) => Default::default(),
            unknown => return Err(ShapeFault::Extension(unknown.into())),
        })
    }

    /// Every extension can be made.
    pub fn check(&self, metadata: &Metadata) -> Result<(), ShapeFault> {
        self.extensions(metadata).map(drop)
    }

    /// What all extensions carry, and what of them is only signed.
    fn extensions(&self, metadata: &Metadata) -> Result<(Vec<u8>, Vec<u8>), ShapeFault> {
        let mut all = (Vec::new(), Vec::new());
        for of in metadata.extensions() {
            let (extra, additional) = self.extension(metadata, of)?;
            all.0.extend(extra);
            all.1.extend(additional);
        }
        Ok(all)
    }
}

/// The bytes that a signature is made over: hashed when there are more than 256 of them.
fn payload(call: &[u8], extra: &[u8], additional: &[u8]) -> Vec<u8> {
    let whole = [call, extra, additional].concat();
    if whole.len() > 256 { blake2_256(&whole).to_vec() } else { whole }
}

/// The bytes of a signed extrinsic; its hash is their [`blake2_256`].
pub fn sign(metadata: &Metadata, key: &Keypair, context: &Context, call: &[u8]) -> Result<Vec<u8>, ShapeFault> {
    let account = key.account();
    let (extra, additional) = context.extensions(metadata)?;
    let address = Value::unnamed_variant("Id", [Value::from_bytes(account)]);
    let signed = key.sign(&payload(call, &extra, &additional));
    let signature = Value::unnamed_variant("Sr25519", [Value::from_bytes(signed)]);
    let mut body = vec![SIGNED_V4];
    body.extend(metadata.encode("address", metadata.address_type(), &address)?);
    body.extend(metadata.encode("signature", metadata.signature_type(), &signature)?);
    body.extend(extra);
    body.extend_from_slice(call);
    let length = u32::try_from(body.len()).map_err(|_| ShapeFault::Other("extrinsic over 4 GiB".into()))?;
    Ok([Compact(length).encode(), body].concat())
}

/// A signed extrinsic, taken apart. Its signature is not checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed<'a> {
    pub signer: AccountId,
    pub signature: [u8; 64],
    /// `None` is immortal.
    pub era: Option<Era>,
    pub nonce: u64,
    extra: &'a [u8],
    /// Pallet, call and arguments.
    pub call: &'a [u8],
}

/// An extrinsic of a block or of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// An inherent: the author's own, unsigned.
    Bare {
        call: &'a [u8],
    },
    Signed(Signed<'a>),
}

/// Takes the bytes of an extrinsic apart.
pub fn parse<'a>(metadata: &Metadata, bytes: &'a [u8]) -> Result<Parsed<'a>, ShapeFault> {
    let mut rest = bytes;
    let length = scale::cut_compact(&mut rest).map_err(bytes_of("extrinsic length"))?;
    if usize::try_from(length) != Ok(rest.len()) {
        return Err(ShapeFault::Other(format!("extrinsic of {} bytes says {length}", rest.len())));
    }
    match rest.split_first() {
        Some((&SIGNED_V4, body)) => Ok(Parsed::Signed(parse_signed(metadata, body)?)),
        Some((4 | 5, call)) => Ok(Parsed::Bare { call }),
        version => Err(ShapeFault::Other(format!("extrinsic version {:?}", version.map(|(version, _)| version)))),
    }
}

fn parse_signed<'a>(metadata: &Metadata, mut rest: &'a [u8]) -> Result<Signed<'a>, ShapeFault> {
    let address = metadata.cut("address", metadata.address_type(), &mut rest)?;
    let signature = metadata.cut("signature", metadata.signature_type(), &mut rest)?;
    let signer = one_array(&metadata.value("address", metadata.address_type(), address)?, "Id")?;
    let signature = one_array(&metadata.value("signature", metadata.signature_type(), signature)?, "Sr25519")?;
    let (mut era, mut nonce, before) = (None, 0, rest);
    for of in metadata.extensions() {
        let carried = metadata.cut(&of.name, of.extra, &mut rest)?;
        match (of.name.as_str(), carried) {
            ("CheckMortality" | "CheckEra", &[low, high]) => {
                let read = Era::decode([low, high]);
                era = Some(read.ok_or_else(|| ShapeFault::Other("era does not decode".into()))?);
            }
            ("CheckNonce", carried) => nonce = metadata.decode::<u64>("nonce", of.extra, carried)?,
            _ => {}
        }
    }
    let (extra, call) = before.split_at(before.len() - rest.len());
    Ok(Signed { signer, signature, era, nonce, extra, call })
}

impl Signed<'_> {
    /// The bytes that its signature must have been made over, in a chain where `context` holds.
    pub fn payload(&self, metadata: &Metadata, context: &Context) -> Result<Vec<u8>, ShapeFault> {
        let (_, additional) = context.extensions(metadata)?;
        Ok(payload(self.call, self.extra, &additional))
    }
}

/// The bytes in a variant of one byte array, e.g. `Id([u8; 32])`.
fn one_array<const N: usize>(value: &Value, variant: &str) -> Result<[u8; N], ShapeFault> {
    let fault = || ShapeFault::Other(format!("extrinsic without {variant} of {N} bytes"));
    let ValueDef::Variant(chosen) = &value.value else { return Err(fault()) };
    if chosen.name != variant {
        return Err(fault());
    }
    let mut bytes = Vec::new();
    chosen.values.values().for_each(|part| collect_bytes(part, &mut bytes));
    bytes.try_into().map_err(|_| fault())
}

fn collect_bytes(value: &Value, into: &mut Vec<u8>) {
    match &value.value {
        ValueDef::Composite(Composite::Named(fields)) => fields.iter().for_each(|(_, part)| collect_bytes(part, into)),
        ValueDef::Composite(Composite::Unnamed(parts)) => parts.iter().for_each(|part| collect_bytes(part, into)),
        _ => into.extend(value.as_u128().and_then(|byte| u8::try_from(byte).ok())),
    }
}

fn bytes_of(what: &'static str) -> impl Fn(scale::ScaleFault) -> ShapeFault {
    move |why| ShapeFault::Bytes { what: what.into(), why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_era_reads_back_and_knows_its_blocks() {
        let era = Era::from_birth(1000, 64);
        assert_eq!(Era::decode(era.encode()), Some(era));
        assert_eq!((era.birth(1000), era.last(1000)), (1000, 1063));
        assert_eq!((era.birth(1063), era.birth(1064)), (1000, 1064), "seen too late, it is the next era");
        assert_eq!(era.birth(3), 40, "before its first birth it looks ahead");
    }

    #[test]
    fn an_era_rounds_its_period_up() {
        assert_eq!(Era::from_birth(10, 50), Era::from_birth(10, 64));
        assert_eq!(Era::from_birth(9, 0), Era { period: 4, phase: 1 });
        assert_eq!(Era::decode([0, 1]), None, "a period of two is none");
    }
}
