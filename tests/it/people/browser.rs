//! A browser of a person: it keeps cookies, and goes where it is sent when it is told to.

use std::collections::BTreeMap;

use reqwest::header::{HeaderMap, LOCATION, SET_COOKIE};

/// The browser. Cookies are of this machine's address, whatever the port, as browsers have it.
pub(super) struct Browser {
    client: reqwest::Client,
    pub(super) cookies: BTreeMap<String, String>,
    /// As the server set them last, with all they say.
    pub(super) set: Vec<String>,
}

/// What was answered.
pub(super) struct Seen {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
    /// Where it was asked for.
    pub(super) url: String,
}

impl Seen {
    /// Where it sends the browser.
    pub(super) fn to(&self) -> String {
        let to = self.headers.get(LOCATION).unwrap_or_else(|| panic!("{} {}: {}", self.status, self.url, self.text));
        reqwest::Url::parse(&self.url).unwrap().join(to.to_str().unwrap()).unwrap().into()
    }

    /// The value of a field of its form.
    pub(super) fn field(&self, name: &str) -> String {
        let at = self.text.find(&format!("name=\"{name}\"")).unwrap_or_else(|| panic!("{name} in {}", self.text));
        // The field's own tag, in whatever order its attributes are.
        let begin = self.text[..at].rfind('<').unwrap();
        let tag = self.text[begin..].split('>').next().unwrap();
        tag.split("value=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default().to_owned()
    }
}

impl Browser {
    pub(super) fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "a person's browser, on loopback")]
        let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { client, cookies: BTreeMap::new(), set: Vec::new() }
    }

    /// One in which somebody is signed in to the fake forge.
    pub(super) fn of(account: &str) -> Self {
        let mut browser = Self::new();
        browser.cookies.insert("account".to_owned(), account.to_owned());
        browser
    }

    /// Opens an address, as far as its first answer.
    pub(super) async fn open(&mut self, url: &str) -> Seen {
        self.send(self.client.get(url), url).await
    }

    /// Opens an address, and follows while it is sent on.
    pub(super) async fn follow(&mut self, url: &str) -> Seen {
        let mut seen = self.open(url).await;
        for _ in 0..10 {
            if !(300..400).contains(&seen.status) {
                break;
            }
            let to = seen.to();
            seen = self.open(&to).await;
        }
        seen
    }

    /// Sends a form, as a page of `from` would have it sent.
    pub(super) async fn submit(&mut self, url: &str, from: &str, fields: &[(&str, &str)]) -> Seen {
        let mut form = reqwest::Url::parse("http://x/").unwrap();
        form.query_pairs_mut().extend_pairs(fields);
        let request = self.client.post(url).header("content-type", "application/x-www-form-urlencoded");
        let request = request.body(form.query().unwrap_or_default().to_owned());
        let request = if from.is_empty() { request } else { request.header("origin", from) };
        self.send(request, url).await
    }

    /// Sends anything.
    pub(super) async fn send(&mut self, request: reqwest::RequestBuilder, url: &str) -> Seen {
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = if cookies.is_empty() { request } else { request.header("cookie", cookies.join("; ")) };
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        self.set = headers.get_all(SET_COOKIE).iter().map(|one| one.to_str().unwrap().to_owned()).collect();
        for set in &self.set {
            let (name, value) = set.split(';').next().unwrap().split_once('=').unwrap();
            if value.is_empty() || set.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        Seen { status, headers, text: response.text().await.unwrap(), url: url.to_owned() }
    }

    /// A request to be added to.
    pub(super) fn client(&self) -> &reqwest::Client {
        &self.client
    }
}
