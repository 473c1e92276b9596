//! A listener on this machine's own address, for a browser that comes back to a command. Every other page of the browser
//! can reach it, too, and is told nothing: whoever waits knows a word that those do not.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// How long a browser may take to say what it wants, and how much it may say (bytes).
const REQUEST: (Duration, usize) = (Duration::from_secs(5), 16 << 10);

/// The listener.
#[derive(Debug)]
pub struct Loopback {
    listener: TcpListener,
    port: u16,
}

/// A browser that asked for a page.
#[derive(Debug)]
pub struct Asked {
    /// The path and what follows it, as it was sent.
    pub target: String,
    stream: TcpStream,
}

/// What it is answered.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// `200 OK`.
    pub status: &'a str,
    /// `text/plain`.
    pub kind: &'a str,
    /// What the page may do (`Content-Security-Policy`).
    pub policy: &'a str,
    /// The page.
    pub text: &'a str,
}

impl Loopback {
    /// Listens on a port; on 0, on any.
    ///
    /// # Errors
    /// The system's own.
    pub async fn open(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let port = listener.local_addr()?.port();
        Ok(Self { listener, port })
    }

    /// Where a browser finds it, without a slash at its end.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The next page that is asked for of this address; a name that somebody else's page made lead here is none.
    ///
    /// # Errors
    /// The system's own.
    pub async fn asked(&self) -> io::Result<Asked> {
        loop {
            let (mut stream, _) = self.listener.accept().await?;
            let head = tokio::time::timeout(REQUEST.0, head(&mut stream)).await.ok().and_then(Result::ok);
            if let Some(target) = head.as_deref().and_then(|head| target(head, self.port)) {
                return Ok(Asked { target: target.to_owned(), stream });
            }
            let none = Answer { status: "404 Not Found", kind: "text/plain", policy: "default-src 'none'", text: "" };
            Asked { target: String::new(), stream }.answer(&none).await;
        }
    }
}

impl Asked {
    /// One value of what follows the path, when it is a word: letters, digits, `-` and `_`.
    pub fn word(&self, path: &str, name: &str) -> Option<&str> {
        let query = self.target.strip_prefix(path)?.strip_prefix('?')?;
        let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
        let is_word = value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        (is_word && !value.is_empty()).then_some(value)
    }

    /// Answers, and is done with this browser. One that is gone has said what it wanted all the same.
    pub async fn answer(mut self, answer: &Answer<'_>) {
        let Answer { status, kind, policy, text } = answer;
        let whole = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}; charset=utf-8\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
             Referrer-Policy: no-referrer\r\nContent-Security-Policy: {policy}; frame-ancestors 'none'\r\n\
             X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n{text}",
            text.len()
        );
        let _ = self.stream.write_all(whole.as_bytes()).await;
        let _ = self.stream.shutdown().await;
    }
}

/// A request up to its body.
async fn head(stream: &mut TcpStream) -> io::Result<String> {
    let mut read = Vec::new();
    while !read.windows(4).any(|four| four == b"\r\n\r\n") {
        if read.len() > REQUEST.1 || stream.read_buf(&mut read).await? == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    Ok(String::from_utf8_lossy(&read).into_owned())
}

/// What is asked for, by a GET whose one `Host` is this address.
fn target(head: &str, port: u16) -> Option<&str> {
    let mut lines = head.split("\r\n");
    let target = lines.next()?.strip_prefix("GET ")?.strip_suffix(" HTTP/1.1")?;
    let hosts: Vec<&str> = lines
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| name.eq_ignore_ascii_case("host"))
        .map(|(_, value)| value.trim())
        .collect();
    (hosts == [format!("127.0.0.1:{port}")]).then_some(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_page_of_this_address_is_answered() {
        let good = "GET /setup?word=w HTTP/1.1\r\nHost: 127.0.0.1:8\r\n\r\n";
        assert_eq!(target(good, 8), Some("/setup?word=w"));
        for other in [
            "GET / HTTP/1.1\r\nHost: evil.example:8\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: 127.0.0.1:9\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: 127.0.0.1:8\r\nHost: evil.example\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: 127.0.0.1:8\r\n\r\n",
            "",
        ] {
            assert_eq!(target(other, 8), None, "{other}");
        }
    }
}
