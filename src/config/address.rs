//! Addresses as the file writes them.

use std::net::IpAddr;
use std::str::FromStr;

/// An address or a block of them: `10.0.0.1`, `10.0.0.0/8`, `fd00::/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    /// Leading bits that count; never more than the address has.
    bits: u8,
}

impl Network {
    /// Whether an address is inside. An IPv4 address written as IPv6 is the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let differ = own.to_bits() ^ other.to_bits();
                differ.leading_zeros() >= u32::from(self.bits)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let differ = own.to_bits() ^ other.to_bits();
                differ.leading_zeros() >= u32::from(self.bits)
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, &'static str> {
        const ADVICE: &str = "write an address or a block of them: `10.0.0.1`, `10.0.0.0/8`, `fd00::/8`";
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| ADVICE)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(bits) => bits.parse().ok().filter(|bits| *bits <= most).ok_or(ADVICE)?,
        };
        Ok(Self { address, bits })
    }
}

/// An `http` or `https` address of a server without a slash at its end. The error is what is wrong with it.
pub(super) fn base_url(text: &str) -> Result<String, &'static str> {
    let rest = ["https://", "http://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    let rest = rest.ok_or("it does not begin with `https://` or `http://`")?;
    if rest.contains('@') {
        return Err("it holds a user or password");
    }
    if rest.contains(['?', '#', '\\']) || rest.contains(|c: char| c.is_whitespace() || c.is_control() || !c.is_ascii())
    {
        return Err("it is more than a server and a path");
    }
    let host_and_port = rest.split('/').next().unwrap_or_default();
    let (host, port) = match host_and_port.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, after)) => {
            address.parse::<std::net::Ipv6Addr>().map_err(|_| "its host is no address")?;
            (address, after.strip_prefix(':'))
        }
        None => host_and_port.split_once(':').map_or((host_and_port, None), |(host, port)| (host, Some(port))),
    };
    let letters = |host: &str| host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:_".contains(&b));
    if host.is_empty() || !letters(host) {
        return Err("it names no host");
    }
    if host.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified()) {
        return Err("nobody can open that host: it means \"every address\" to a listener");
    }
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return Err("its port is no number below 65536");
    }
    Ok(text.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        let inside = |network: &str, address: &str| {
            network.parse::<Network>().unwrap().contains(address.parse::<IpAddr>().unwrap())
        };
        assert!(inside("10.0.0.0/8", "10.200.3.4") && !inside("10.0.0.0/8", "11.0.0.1"));
        assert!(inside("10.0.0.1", "10.0.0.1") && !inside("10.0.0.1", "10.0.0.2"));
        assert!(inside("10.0.0.0/8", "::ffff:10.1.1.1"), "IPv4 in IPv6 clothes");
        assert!(inside("::/0", "::1") && !inside("::/0", "127.0.0.1"));
        assert!(inside("fd00::/8", "fd12::1"));
        for bad in ["", "10.0.0.0/33", "10.0.0.0/-1", "host", "::/129", "10.0.0.0/8/8"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }

    #[test]
    fn base_urls() {
        for (given, expected) in [
            ("https://git.example.com/", "https://git.example.com"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://[::1]:80/x", "http://[::1]:80/x"),
        ] {
            assert_eq!(base_url(given).as_deref(), Ok(expected));
        }
        for bad in [
            "",
            "git.example.com",
            "ftp://x",
            "https://",
            "https://u:p@x",
            "https://x?y",
            "https://x#y",
            "https://x y",
            "https://x:99999",
            "http://0.0.0.0:80",
            "https:///x",
            "javascript:x",
            "https://x\n",
            "http://[::x]/",
        ] {
            assert!(base_url(bad).is_err(), "{bad:?}");
        }
    }
}
