//! The proof that a page of ours asked for what a browser sends: where it comes from, by the browser's own word, and a
//! token that only our pages show.

use axum::http::{HeaderMap, HeaderName, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::problem::Problem;

/// Says where a request comes from; pages cannot set it.
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The token that pages of a session show and its acts carry. It is made of the session's secret, and does not give it away.
pub(super) fn csrf(secret: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::new().chain_update(b"bascule csrf 1\0").chain_update(secret).finalize())
}

/// Refuses what no page of ours asked for.
pub(super) fn prove(headers: &HeaderMap, public_url: &str, secret: &str, shown: &str) -> Result<(), Problem> {
    let is_shown = bool::from(csrf(secret).as_bytes().ct_eq(shown.as_bytes()));
    if is_shown && is_same_origin(headers, public_url) {
        return Ok(());
    }
    Err(Problem::forbidden("this was not asked for by a page of this server: open the page again, and ask there"))
}

/// Whether a browser says that a page of ours sent this. Who says nothing is no browser of these years.
fn is_same_origin(headers: &HeaderMap, public_url: &str) -> bool {
    let once = |name: &HeaderName| {
        let mut values = headers.get_all(name).iter();
        let value = values.next()?;
        // Two are none of ours.
        Some(if values.next().is_some() { "" } else { value.to_str().unwrap_or_default() })
    };
    let is_ours = |said: &str| said == origin(public_url);
    match (once(&header::ORIGIN), once(&SITE)) {
        (None, None) => false,
        (from, site) => from.is_none_or(is_ours) && site.is_none_or(|site| site == "same-origin"),
    }
}

/// Scheme, host and port of an address, as browsers write them.
fn origin(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let authority = rest.split('/').next().unwrap_or_default().to_ascii_lowercase();
    let usual = if scheme == "https" { ":443" } else { ":80" };
    format!("{scheme}://{}", authority.strip_suffix(usual).unwrap_or(&authority))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_page_of_ours_asks() {
        let asked = |said: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in said {
                headers.append(*name, value.parse().unwrap());
            }
            is_same_origin(&headers, "https://Bascule.example.com:443/below")
        };
        let ours = ("origin", "https://bascule.example.com");
        assert!(asked(&[ours]) && asked(&[ours, ("sec-fetch-site", "same-origin")]));
        assert!(asked(&[("sec-fetch-site", "same-origin")]));
        for foreign in [
            &[][..],
            &[("origin", "null")],
            &[("origin", "https://example.com")],
            &[("origin", "http://bascule.example.com")],
            &[("origin", "https://bascule.example.com:8443")],
            &[("origin", "https://bascule.example.com.evil.example")],
            &[ours, ("sec-fetch-site", "same-site")],
            &[ours, ("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "none")],
            &[("origin", "https://evil.example"), ("sec-fetch-site", "same-origin")],
            &[ours, ("origin", "https://evil.example")],
        ] {
            assert!(!asked(foreign), "{foreign:?}");
        }
        let mut headers = HeaderMap::new();
        headers.insert("origin", "http://127.0.0.1:8080".parse().unwrap());
        let prove = |shown: &str| prove(&headers, "http://127.0.0.1:8080", "secret", shown).is_ok();
        assert!(prove(&csrf("secret")));
        assert!(!prove("") && !prove(&csrf("another")) && !prove("secret"));
    }
}
