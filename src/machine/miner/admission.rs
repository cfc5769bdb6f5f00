//! Who may connect as a worker: the bearer of the token, or, without one, whoever is in an allowed network.
//!
//! A pure rule that the loop asks before it answers an upgrade. It reads no file and remembers nobody.

use std::net::IpAddr;

use crate::{config::networks::Network, units::Secret, wire::http::bears};

/// The rule of the workers' door.
#[derive(Clone, Debug)]
pub enum Admission {
    /// From anywhere, with `Authorization: Bearer <token>`.
    Token(Secret),
    /// Without a token, from these networks.
    Networks(Vec<Network>),
}

/// Why an upgrade is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Turned {
    #[error("no bearer token, or not the right one")]
    BadToken,
    #[error("the address is in none of the allowed networks")]
    ForeignNetwork,
}

impl Turned {
    /// The HTTP status of the refusal.
    pub fn status(self) -> u16 {
        match self {
            Turned::BadToken => 401,
            Turned::ForeignNetwork => 403,
        }
    }
}

impl Admission {
    /// `authorization` is the header of that name, as sent.
    pub fn admit(&self, remote: IpAddr, authorization: Option<&str>) -> Result<(), Turned> {
        match self {
            Admission::Token(token) if bears(authorization, token) => Ok(()),
            Admission::Token(_) => Err(Turned::BadToken),
            Admission::Networks(networks) => {
                let inside = networks.iter().any(|network| network.contains(remote));
                if inside { Ok(()) } else { Err(Turned::ForeignNetwork) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(address: &str) -> IpAddr {
        address.parse().unwrap()
    }

    #[test]
    fn the_token_admits_from_anywhere_and_nothing_else_does() {
        let door = Admission::Token(Secret::new("correct-horse-battery".into()));
        let abroad = from("8.8.8.8");
        assert_eq!(door.admit(abroad, Some("Bearer correct-horse-battery")), Ok(()));
        assert_eq!(door.admit(abroad, Some("bearer  correct-horse-battery ")), Ok(()));
        for wrong in [None, Some(""), Some("Bearer"), Some("Bearer correct-horse"), Some("Basic correct-horse-battery")]
        {
            assert_eq!(door.admit(from("127.0.0.1"), wrong), Err(Turned::BadToken), "{wrong:?}");
        }
        assert_eq!(Turned::BadToken.status(), 401);
    }

    #[test]
    fn without_a_token_the_network_decides() {
        let door = Admission::Networks(vec!["127.0.0.0/8".parse().unwrap(), "fc00::/7".parse().unwrap()]);
        for inside in ["127.0.0.1", "::ffff:127.0.0.1", "fd00::7"] {
            assert_eq!(door.admit(from(inside), None), Ok(()), "{inside}");
        }
        for outside in ["8.8.8.8", "2001:db8::1", "::ffff:8.8.8.8"] {
            assert_eq!(door.admit(from(outside), Some("Bearer x")), Err(Turned::ForeignNetwork), "{outside}");
        }
        assert_eq!(Turned::ForeignNetwork.status(), 403);
    }
}
