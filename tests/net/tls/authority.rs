//! An authority of the test's own and servers with its certificates.

use std::{net::TcpStream, sync::Arc};

use byteleap::net::TlsClient;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    version::{TLS12, TLS13},
};

use crate::daemon::PATIENCE;

pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// When a certificate counts.
#[derive(Clone, Copy, PartialEq)]
pub enum Validity {
    Now,
    Past,
    Future,
}

impl Authority {
    pub fn new() -> Authority {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Who believes in it.
    pub fn client(&self) -> TlsClient {
        TlsClient::with_authorities(self.pem().as_bytes()).unwrap()
    }

    pub fn server(&self, names: &[&str], validity: Validity) -> Server {
        self.server_of(names, validity, &[&TLS13, &TLS12])
    }

    pub fn old_server(&self, names: &[&str]) -> Server {
        self.server_of(names, Validity::Now, &[&TLS12])
    }

    fn server_of(&self, names: &[&str], validity: Validity, versions: &[&'static SupportedProtocolVersion]) -> Server {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        (params.not_before, params.not_after) = match validity {
            Validity::Now => (date_time_ymd(2000, 1, 1), date_time_ymd(4000, 1, 1)),
            Validity::Past => (date_time_ymd(2000, 1, 1), date_time_ymd(2001, 1, 1)),
            Validity::Future => (date_time_ymd(3999, 1, 1), date_time_ymd(4000, 1, 1)),
        };
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_protocol_versions(versions).unwrap().with_no_client_auth();
        Server(Arc::new(config.with_single_cert(vec![certificate.der().clone()], key).unwrap()))
    }
}

/// A certificate and its key.
pub struct Server(Arc<ServerConfig>);

pub type Secured = StreamOwned<ServerConnection, TcpStream>;

impl Server {
    /// Blocking, as the test's own thread plays it.
    pub fn over(&self, stream: TcpStream) -> Secured {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        StreamOwned::new(ServerConnection::new(self.0.clone()).unwrap(), stream)
    }
}
