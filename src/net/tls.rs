//! TLS under a connection, client side: bytes of a non-blocking socket in, plaintext out, and back. Runs on the loop,
//! knows neither WebSocket nor HTTP, and never waits.
//!
//! rustls with ring, TLS 1.2 and 1.3. Renegotiation does not exist there: whoever asks for it is refused. What is
//! encrypted and not sent yet is bounded by [`SENDING_BYTES`], what is decrypted and not read by one record.

use std::{
    io::{self, ErrorKind, Read, Write},
    sync::Arc,
};

use mio::net::TcpStream;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, Error, InvalidMessage, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem, pem::PemObject},
};

use crate::{machine::TlsFault, net::transport::Readout};

/// Most bytes that wait encrypted for the socket.
const SENDING_BYTES: usize = 64 * 1024;
/// Most reads of the socket in one call that brought nothing for the reader.
const IDLE_READS: usize = 16;

/// Whose certificates count, and everything else that all connections share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TlsClient(Arc<ClientConfig>);

/// Why a file of CA certificates gives none.
#[derive(Debug, thiserror::Error)]
pub enum RootsFault {
    #[error("not a file of PEM certificates: {0}")]
    Pem(pem::Error),
    #[error("no certificate in it (PEM, -----BEGIN CERTIFICATE-----)")]
    Empty,
    #[error("certificate {number} of it cannot be an authority: {why}")]
    Certificate { number: usize, why: String },
}

impl TlsClient {
    /// The authorities that browsers know.
    pub fn public() -> TlsClient {
        TlsClient::over(public_roots())
    }

    /// Those, and the authorities in a PEM file.
    pub fn with_authorities(pem: &[u8]) -> Result<TlsClient, RootsFault> {
        let mut roots = public_roots();
        let known = roots.len();
        for (number, certificate) in (1..).zip(CertificateDer::pem_slice_iter(pem)) {
            let certificate = certificate.map_err(RootsFault::Pem)?;
            let added = roots.add(certificate);
            added.map_err(|error| RootsFault::Certificate { number, why: error.to_string() })?;
        }
        match roots.len() > known {
            true => Ok(TlsClient::over(roots)),
            false => Err(RootsFault::Empty),
        }
    }

    fn over(roots: RootCertStore) -> TlsClient {
        // The versions are those that the provider was built with; a mismatch would be a build without any.
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions();
        let config = builder.map(|builder| builder.with_root_certificates(roots).with_no_client_auth());
        TlsClient(Arc::new(config.expect("ring speaks TLS 1.2 and 1.3")))
    }

    /// A connection to the server of that name.
    pub(super) fn start(&self, name: &str) -> Result<Tls, TlsFault> {
        let bad = || TlsFault::Name { name: name.to_owned() };
        let server = ServerName::try_from(name.to_owned()).map_err(|_| bad())?;
        let mut connection = ClientConnection::new(self.0.clone(), server).map_err(|_| bad())?;
        connection.set_buffer_limit(Some(SENDING_BYTES));
        Ok(Tls { name: name.to_owned(), connection })
    }
}

fn public_roots() -> RootCertStore {
    RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }
}

#[derive(Debug)]
pub(super) struct Tls {
    name: String,
    connection: ClientConnection,
}

impl Tls {
    /// The handshake, as far as the socket lets it; `true` when it is done.
    pub(super) fn shake(&mut self, stream: &mut TcpStream) -> io::Result<bool> {
        loop {
            while self.wants_write() {
                match self.write(stream) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                    Err(error) => return Err(error),
                }
            }
            if !self.connection.is_handshaking() {
                return Ok(true);
            }
            match self.take_records(stream) {
                Ok(0) => return Err(io::Error::other(TlsFault::Cut { name: self.name.clone() })),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }

    /// Plaintext, at the front of `into`.
    pub(super) fn read(&mut self, stream: &mut TcpStream, into: &mut [u8]) -> Readout {
        for _ in 0..IDLE_READS {
            match self.connection.reader().read(into) {
                // An end with or without TLS's goodbye: WebSocket has its own, and says which one was missing.
                Ok(0) => return Readout::End,
                Ok(count) => return Readout::Bytes(count),
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Readout::End,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Readout::Failed(error),
            }
            match self.take_records(stream) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Readout::WouldBlock,
                Err(error) => return Readout::Failed(error),
            }
        }
        Readout::Nothing
    }

    /// Reads the socket once and decrypts what is whole. 0 at its end.
    fn take_records(&mut self, stream: &mut TcpStream) -> io::Result<usize> {
        let count = self.connection.read_tls(stream)?;
        if let Err(error) = self.connection.process_new_packets() {
            // The alert that tells the peer why; it is lost where the socket does not take it at once.
            let _ = self.write(stream);
            return Err(io::Error::other(fault(&self.name, &error)));
        }
        Ok(count)
    }

    /// Whether something encrypted waits for the socket.
    pub(super) fn wants_write(&self) -> bool {
        self.connection.wants_write()
    }

    /// Writes to the socket once.
    pub(super) fn write(&mut self, stream: &mut TcpStream) -> io::Result<usize> {
        self.connection.write_tls(stream)
    }

    /// Takes plaintext to be sent; how many bytes of it.
    pub(super) fn encrypt(&mut self, plain: &[u8]) -> io::Result<usize> {
        self.connection.writer().write(plain)
    }

    /// Queues TLS's goodbye, once.
    pub(super) fn say_goodbye(&mut self) {
        self.connection.send_close_notify();
    }
}

fn fault(name: &str, error: &Error) -> TlsFault {
    let name = name.to_owned();
    match error {
        Error::InvalidCertificate(error) => certificate_fault(name, error),
        Error::AlertReceived(alert) => TlsFault::Refused { name, alert: format!("{alert:?}") },
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => TlsFault::NotTls { name },
        other => TlsFault::Protocol { name, why: other.to_string() },
    }
}

fn certificate_fault(name: String, error: &CertificateError) -> TlsFault {
    use CertificateError::{
        BadSignature, Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet,
        NotValidYetContext, UnknownIssuer,
    };
    match error {
        Expired | ExpiredContext { .. } => TlsFault::Expired { name },
        NotValidYet | NotValidYetContext { .. } => TlsFault::NotYetValid { name },
        // A bad signature is an authority of a name that we know, with another key.
        UnknownIssuer | BadSignature => TlsFault::UnknownIssuer { name },
        NotValidForName => TlsFault::WrongName { name, told: "another name".into() },
        NotValidForNameContext { presented, .. } => TlsFault::WrongName { name, told: names(presented) },
        other => TlsFault::Certificate { name, why: other.to_string() },
    }
}

/// The first few names of a certificate.
fn names(presented: &[String]) -> String {
    match presented {
        [] => "no name at all".into(),
        names => names.iter().take(5).map(|name| name.chars().take(100).collect()).collect::<Vec<String>>().join(", "),
    }
}
