//! A runtime: its metadata in each form that it is served in, and its versions.

use std::{borrow::Cow, sync::Arc};

use scale_decode::DecodeAsType;
use serde_json::{Value as Json, json};

use super::upgrade::{UpgradeKind, upgraded};
use crate::spoke::chain::{
    metadata::{Metadata, ShapeFault},
    rpc::to_hex,
};

/// As a node of spec 425 serves them, without their documentation texts.
pub const RECORDED_V15: &[u8] = include_bytes!("data/spec425_v15.scale");
const RECORDED_V14: &[u8] = include_bytes!("data/spec425_v14.scale");

/// What executes blocks; the state of each block says which one executes the next.
pub struct Runtime {
    /// Read from `v15`.
    pub metadata: Metadata,
    pub v14: Cow<'static, [u8]>,
    pub v15: Cow<'static, [u8]>,
    version: Version,
}

#[derive(DecodeAsType)]
struct Version {
    spec_name: String,
    impl_name: String,
    authoring_version: u32,
    spec_version: u32,
    impl_version: u32,
    apis: Vec<([u8; 8], u32)>,
    transaction_version: u32,
    system_version: u8,
}

impl Runtime {
    /// The one that was recorded.
    pub fn recorded() -> Result<Arc<Runtime>, ShapeFault> {
        Runtime::new(RECORDED_V14.into(), RECORDED_V15.into())
    }

    /// The one after this one.
    pub fn upgraded(&self, kind: UpgradeKind) -> Result<Arc<Runtime>, ShapeFault> {
        let spec_version = self.spec_version().saturating_add(1);
        let v14 = upgraded(&self.v14, kind, spec_version)?;
        Runtime::new(v14.into(), upgraded(&self.v15, kind, spec_version)?.into())
    }

    fn new(v14: Cow<'static, [u8]>, v15: Cow<'static, [u8]>) -> Result<Arc<Runtime>, ShapeFault> {
        let metadata = Metadata::parse(&v15)?;
        let (id, bytes) = metadata.constant("System", "Version")?;
        let version = metadata.decode("System.Version", id, bytes)?;
        Ok(Arc::new(Runtime { metadata, v14, v15, version }))
    }

    pub fn spec_name(&self) -> &str {
        &self.version.spec_name
    }

    pub fn spec_version(&self) -> u32 {
        self.version.spec_version
    }

    pub fn transaction_version(&self) -> u32 {
        self.version.transaction_version
    }

    /// As `state_getRuntimeVersion` answers.
    pub fn json(&self) -> Json {
        let of = &self.version;
        let apis: Vec<_> = of.apis.iter().map(|(id, version)| json!([to_hex(id), version])).collect();
        json!({
            "specName": of.spec_name,
            "implName": of.impl_name,
            "authoringVersion": of.authoring_version,
            "specVersion": of.spec_version,
            "implVersion": of.impl_version,
            "apis": apis,
            "transactionVersion": of.transaction_version,
            "stateVersion": of.system_version,
        })
    }
}
