//! Why a connection could not be secured, with what to do about it.

/// What is wrong with the other side's certificate, or with its TLS.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsFault {
    #[error(
        "the certificate of {name} has expired: its operator must renew it (if other hosts connect, this host's clock \
         is ahead)"
    )]
    Expired { name: String },
    #[error("the certificate of {name} is not valid yet: this host's clock is behind, or theirs was ahead")]
    NotYetValid { name: String },
    #[error(
        "the certificate of {name} is signed by no authority that we know: for a private one, name the file of its CA \
         certificate in the configuration; if this is a public server, somebody stands in between"
    )]
    UnknownIssuer { name: String },
    #[error(
        "the certificate is not for {name} but for {told}: use one of these names in the URL, or the address leads to \
         another server"
    )]
    WrongName { name: String, told: String },
    #[error("the certificate of {name} is refused: {why}")]
    Certificate { name: String, why: String },
    /// Not a host name and no address: nothing was dialed.
    #[error("{name:?} is no name that a certificate could have")]
    Name { name: String },
    #[error("{name} does not speak TLS on this port: ws:// in place of wss://, or another port")]
    NotTls { name: String },
    #[error("{name} refused our TLS: {alert}")]
    Refused { name: String, alert: String },
    #[error("{name} ended the connection within the TLS handshake")]
    Cut { name: String },
    #[error("{name}: {why}")]
    Protocol { name: String, why: String },
}

impl TlsFault {
    /// For counters.
    pub fn label(&self) -> &'static str {
        match self {
            TlsFault::Expired { .. } => "expired",
            TlsFault::NotYetValid { .. } => "not_yet_valid",
            TlsFault::UnknownIssuer { .. } => "unknown_issuer",
            TlsFault::WrongName { .. } => "wrong_name",
            TlsFault::Certificate { .. } => "certificate",
            TlsFault::Name { .. } => "name",
            TlsFault::NotTls { .. } => "not_tls",
            TlsFault::Refused { .. } => "refused",
            TlsFault::Cut { .. } => "cut",
            TlsFault::Protocol { .. } => "protocol",
        }
    }
}
