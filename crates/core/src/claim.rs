//! Ports as they are claimed (`ports = [8000, "5004/udp", "[::1]:9000/tcp"]`), and when two of them collide (R7.2).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// TCP or UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Proto {
    /// TCP
    Tcp,
    /// UDP
    Udp,
}

impl fmt::Display for Proto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Proto::Tcp => "tcp",
            Proto::Udp => "udp",
        })
    }
}

/// A port that a run must hold alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub struct PortClaim {
    /// The address; absent: any address of any family.
    pub address: Option<IpAddr>,
    /// The port; never 0.
    pub port: u16,
    /// The protocol.
    pub proto: Proto,
}

/// Why a text is not a port claim.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a port: write for example 8000, \"5004/udp\", \"127.0.0.1:8000\" or \"[::1]:9000/tcp\"")]
pub struct ClaimError(String);

impl std::str::FromStr for PortClaim {
    type Err = ClaimError;

    fn from_str(text: &str) -> Result<Self, ClaimError> {
        let error = || ClaimError(text.to_owned());
        let (place, proto) = match text.rsplit_once('/') {
            None => (text, Proto::Tcp),
            Some((place, "tcp")) => (place, Proto::Tcp),
            Some((place, "udp")) => (place, Proto::Udp),
            Some(_) => return Err(error()),
        };
        let (address, port) = match place.rsplit_once(':') {
            None => (None, place),
            Some((host, port)) => {
                let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
                    Some(host) => IpAddr::V6(host.parse().map_err(|_| error())?),
                    None => IpAddr::V4(host.parse().map_err(|_| error())?),
                };
                (Some(host), port)
            }
        };
        if !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(error());
        }
        match port.parse() {
            Ok(0) | Err(_) => Err(error()),
            Ok(port) => Ok(Self { address, port, proto }),
        }
    }
}

impl TryFrom<String> for PortClaim {
    type Error = ClaimError;

    fn try_from(text: String) -> Result<Self, ClaimError> {
        text.parse()
    }
}

impl From<PortClaim> for String {
    fn from(claim: PortClaim) -> String {
        claim.to_string()
    }
}

impl fmt::Display for PortClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            None => write!(f, "{}/{}", self.port, self.proto),
            Some(IpAddr::V4(address)) => write!(f, "{address}:{}/{}", self.port, self.proto),
            Some(IpAddr::V6(address)) => write!(f, "[{address}]:{}/{}", self.port, self.proto),
        }
    }
}

/// A socket that holds a port now, as the kernel tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Held {
    /// The local address; unspecified means every address of its family.
    pub address: IpAddr,
    /// The local port.
    pub port: u16,
    /// The protocol.
    pub proto: Proto,
    /// An IPv6 socket that leaves IPv4 alone (`IPV6_V6ONLY`). `false` on a wildcard means that it holds both families.
    pub v6_only: bool,
}

impl PortClaim {
    /// Whether a server that wants this claim meets `held`. Measured rules: a listener on one address blocks that
    /// address and every wildcard of its family; a dual-stack wildcard blocks both families; an IPv6-only one leaves
    /// IPv4 alone.
    pub fn collides(&self, held: &Held) -> bool {
        if self.port != held.port || self.proto != held.proto {
            return false;
        }
        let Some(wanted) = self.address else { return true };
        match (wanted, canonical(held.address)) {
            (IpAddr::V4(_), IpAddr::V6(address)) => address == Ipv6Addr::UNSPECIFIED && !held.v6_only,
            (IpAddr::V6(wanted), IpAddr::V4(_)) => wanted == Ipv6Addr::UNSPECIFIED,
            (IpAddr::V4(wanted), IpAddr::V4(address)) => {
                wanted == address || wanted == Ipv4Addr::UNSPECIFIED || address == Ipv4Addr::UNSPECIFIED
            }
            (IpAddr::V6(wanted), IpAddr::V6(address)) => {
                wanted == address || wanted == Ipv6Addr::UNSPECIFIED || address == Ipv6Addr::UNSPECIFIED
            }
        }
    }
}

/// `::ffff:a.b.c.d` is an IPv4 address in an IPv6 socket.
fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_as_written() {
        for (text, shown) in [
            ("8000", "8000/tcp"),
            ("5004/udp", "5004/udp"),
            ("127.0.0.1:8000", "127.0.0.1:8000/tcp"),
            ("[::1]:9000/tcp", "[::1]:9000/tcp"),
        ] {
            assert_eq!(text.parse::<PortClaim>().map(|claim| claim.to_string()), Ok(shown.to_owned()));
        }
        for bad in ["", "0", "65536", "+80", "80/sctp", "localhost:80", "::1:80", "[::1]", "80/tcp/tcp"] {
            assert!(bad.parse::<PortClaim>().is_err(), "{bad}");
        }
    }

    /// R7.2, the matrix measured with real sockets.
    #[test]
    fn collisions() {
        let held = |address: &str, v6_only| Held {
            address: address.parse().expect("address"),
            port: 8000,
            proto: Proto::Tcp,
            v6_only,
        };
        let claim = |text: &str| text.parse::<PortClaim>().expect("claim");
        for (wanted, address, v6_only, collides) in [
            ("127.0.0.1:8000", "127.0.0.1", false, true),
            ("127.0.0.2:8000", "127.0.0.1", false, false),
            ("0.0.0.0:8000", "127.0.0.1", false, true),
            ("[::]:8000", "127.0.0.1", false, true),
            ("[::1]:8000", "127.0.0.1", false, false),
            ("127.0.0.1:8000", "::", false, true),
            ("127.0.0.1:8000", "::", true, false),
            ("[::1]:8000", "::", true, true),
            ("[::1]:8000", "0.0.0.0", false, false),
            ("127.0.0.1:8000", "::ffff:127.0.0.1", false, true),
            ("8000", "::1", true, true),
            ("8000/udp", "127.0.0.1", false, false),
            ("127.0.0.1:8001", "0.0.0.0", false, false),
        ] {
            assert_eq!(claim(wanted).collides(&held(address, v6_only)), collides, "{wanted} against {address}");
        }
    }
}
