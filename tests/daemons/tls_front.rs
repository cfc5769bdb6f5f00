//! What stands before a hub on the internet: TLS, with a certificate of the test's own authority.

#![expect(clippy::disallowed_methods, reason = "a front serves beside the test")]

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

/// Between looks at one side while the other waits.
const LOOK: Duration = Duration::from_millis(5);

pub struct Front {
    pub address: SocketAddr,
    /// Of the authority.
    pub ca_pem: String,
}

/// Listens until the test's process ends; its certificate is for that name.
pub fn before(behind: SocketAddr, name: &str) -> Front {
    let mut params = CertificateParams::new(vec![]).expect("an authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    let certificate = params.signed_by(&key, &authority).expect("a certificate");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().expect("TLS").with_no_client_auth();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = Arc::new(config.with_single_cert(vec![certificate.der().clone()], key).expect("a server"));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let front = Front { address: listener.local_addr().expect("an address"), ca_pem: authority.pem() };
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let server = ServerConnection::new(config.clone()).expect("a connection");
            // a client that ends is the test's to notice
            thread::spawn(move || relay(StreamOwned::new(server, stream), behind));
        }
    });
    front
}

fn relay(mut secured: StreamOwned<ServerConnection, TcpStream>, behind: SocketAddr) -> std::io::Result<()> {
    let mut plain = TcpStream::connect(behind)?;
    secured.sock.set_read_timeout(Some(LOOK))?;
    plain.set_read_timeout(Some(LOOK))?;
    loop {
        if !pass(&mut secured, &mut plain)? || !pass(&mut plain, &mut secured)? {
            return Ok(());
        }
    }
}

/// What has come on one side goes out on the other; `false` at its end.
fn pass(from: &mut impl Read, to: &mut impl Write) -> std::io::Result<bool> {
    let mut piece = [0; 16 * 1024];
    match from.read(&mut piece) {
        Ok(0) => Ok(false),
        Ok(count) => to.write_all(&piece[..count]).and_then(|()| to.flush()).map(|()| true),
        Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => Ok(true),
        Err(error) => Err(error),
    }
}
