//! Networks in CIDR notation, and the list of those that may connect.

use std::{fmt, net::IpAddr, str::FromStr};

/// An IPv4 or IPv6 network, e.g. `10.0.0.0/8` or `fd00::/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    bits: u8,
}

/// Why a text is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    #[error("not an address")]
    Address,
    #[error("prefix longer than the address")]
    Prefix,
    #[error("bits are set behind the prefix")]
    HostBits,
}

/// Loopback and private networks of both families, link-local included.
pub const PRIVATE: [&str; 8] = [
    "127.0.0.0/8",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "::1/128",
    "fc00::/7",
    "fe80::/10",
];

impl Network {
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        same_family(self.base, address) && leading(self.base, self.bits) == leading(address, self.bits)
    }
}

fn same_family(left: IpAddr, right: IpAddr) -> bool {
    left.is_ipv4() == right.is_ipv4()
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

/// The first `bits` bits, the rest shifted out.
fn leading(address: IpAddr, bits: u8) -> u128 {
    number(address).checked_shr(u32::from(width(address) - bits)).unwrap_or(0)
}

impl FromStr for Network {
    type Err = NetworkError;
    fn from_str(text: &str) -> Result<Network, NetworkError> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let base: IpAddr = address.trim().parse().map_err(|_| NetworkError::Address)?;
        let bits = bits.map_or(Ok(width(base)), |bits| bits.trim().parse().map_err(|_| NetworkError::Prefix))?;
        if bits > width(base) {
            return Err(NetworkError::Prefix);
        }
        let host_bits = u32::from(width(base) - bits);
        let head = leading(base, bits).checked_shl(host_bits).unwrap_or(0);
        if head == number(base) { Ok(Network { base, bits }) } else { Err(NetworkError::HostBits) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, address: &str) -> bool {
        network.parse::<Network>().unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn an_address_is_in_its_network() {
        assert!(contains("10.0.0.0/8", "10.255.1.2"));
        assert!(!contains("10.0.0.0/8", "11.0.0.1"));
        assert!(contains("fc00::/7", "fd12::1"));
        assert!(!contains("fc00::/7", "2001:db8::1"));
        assert!(contains("0.0.0.0/0", "8.8.8.8"));
        assert!(contains("::/0", "8::"));
        assert!(!contains("::/0", "8.8.8.8"));
        assert!(contains("192.0.2.7", "192.0.2.7"));
    }

    #[test]
    fn an_ipv4_address_in_ipv6_clothes_is_an_ipv4_address() {
        assert!(contains("127.0.0.0/8", "::ffff:127.0.0.1"));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        assert_eq!("10.0.0.1/8".parse::<Network>(), Err(NetworkError::HostBits));
        assert_eq!("10.0.0.0/33".parse::<Network>(), Err(NetworkError::Prefix));
        assert_eq!("10.0.0.0/x".parse::<Network>(), Err(NetworkError::Prefix));
        assert_eq!("example.org/8".parse::<Network>(), Err(NetworkError::Address));
    }

    #[test]
    fn the_private_networks_parse() {
        assert!(PRIVATE.iter().all(|text| text.parse::<Network>().is_ok()));
    }
}
