//! Addresses as the file writes them.

use std::net::IpAddr;

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
