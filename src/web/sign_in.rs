//! `/sign-in`: a person goes to their forge and comes back as whom the forge says they are.
//!
//! ```text
//!   /sign-in ─▶ /sign-in/NAME ── cookie, state, challenge ─▶ forge ── code, state ─▶ /sign-in/NAME/callback ─▶ session
//! ```
//!
//! What an attempt needs is in a cookie of the browser that began it, and nothing is stored for a stranger: state and key
//! are made of the cookie's random word, the forge, the time and where it leads, so that none of these can be another at
//! the return. An attempt that came to its end is kept until it would have ended by itself: it is good once.

use axum::extract::Form;
use axum::extract::rejection::FormRejection;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::asked::{Asked, Named};
use super::html::{self, Html};
use super::people::{Attempt, NotSignedIn};
use super::problem::Problem;
use super::{Of, State, origin, session, who};
use crate::db::sessions::{self, Way};
use crate::ids::ForgeName;

/// How long a person may take at their forge.
const PATIENCE: SignedDuration = SignedDuration::from_mins(10);
/// The longest place to go to after it.
const LONGEST: usize = 400;
/// Where it leads when nobody says.
const HERE: &str = "/sign-in";

/// Where it leads.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct To {
    to: Option<String>,
}

/// Where a person goes after it: a page of ours, and nothing that could be read as another server.
fn landing(to: Option<String>) -> String {
    let is_ours = |to: &String| {
        let mut bytes = to.bytes();
        let begins = bytes.next() == Some(b'/') && !matches!(bytes.next(), Some(b'/' | b'\\'));
        begins && to.len() <= LONGEST && to.bytes().all(|b| b.is_ascii_graphic() && b != b'\\')
    };
    to.filter(is_ours).unwrap_or_else(|| HERE.to_owned())
}

/// Text as a value of a query.
fn encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// Sends somebody we do not know to the sign-in, and back to where they were.
pub(super) fn towards(state: &State, to: &str) -> Response {
    go(&format!("{}{HERE}?to={}", state.public_url, encoded(to)))
}

/// To another page. The address is ours, or the forge's as configured.
pub(super) fn go(address: &str) -> Response {
    match HeaderValue::from_str(address) {
        Ok(value) => (StatusCode::SEE_OTHER, [(header::LOCATION, value)]).into_response(),
        Err(_) => Problem::bad("this leads nowhere").into_response(),
    }
}

/// A page with forms that lead to `forms` alone.
pub(super) fn page(status: StatusCode, html: Html, forms: &str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
        (header::CONTENT_SECURITY_POLICY, html::policy(forms)),
    ];
    (status, headers, html.end()).into_response()
}

/// Who somebody is, or through which forges they can say so.
pub(super) async fn show(
    Of(state): Of<State>,
    headers: HeaderMap,
    Asked(asked): Asked<To>,
) -> Result<Response, Problem> {
    let mut html = Html::begin("Bascule");
    if let Some(said) = session::cookie(&headers, &session::name(&state))
        && let Some(known) = session::find(&state, said, Way::Browser).await?
    {
        html.within("<h1>Bascule</h1><p>You are <strong>", &who::named(&known.person), "</strong>.</p>");
        html.within("<form method=\"post\" action=\"", &format!("{}/sign-out", state.public_url), "\">");
        html.within("<input type=\"hidden\" name=\"csrf\" value=\"", &origin::csrf(said), "\">");
        html.ours("<button>Sign out</button></form>");
        return Ok(page(StatusCode::OK, html, "'self'"));
    }
    let to = encoded(&landing(asked.to));
    html.ours("<h1>Sign in</h1>");
    let doors = state.people.doors();
    if doors.is_empty() {
        html.ours("<p>No forge of this server lets people sign in: its <code>bascule.toml</code> has no <code>sign_in</code>. ");
        html.ours("Pages are read with a token, given as the password.</p>");
    }
    for forge in &doors {
        let address = format!("{}/sign-in/{forge}?to={to}", state.public_url);
        html.within("<p><a href=\"", &address, "\">").within(
            "Sign in through <strong>",
            forge.as_str(),
            "</strong></a></p>",
        );
    }
    Ok(page(StatusCode::OK, html, "'none'"))
}

/// What an attempt is made of.
struct Begun {
    word: String,
    ends: Timestamp,
    to: String,
}

impl Begun {
    /// As the cookie keeps it.
    fn kept(&self) -> String {
        format!("{}.{}.{}", self.word, self.ends.as_second(), URL_SAFE_NO_PAD.encode(&self.to))
    }

    fn read(cookie: &str) -> Option<Self> {
        let mut parts = cookie.split('.');
        let (word, ends, to) = (parts.next()?, parts.next()?, parts.next()?);
        let is_word = URL_SAFE_NO_PAD.decode(word).is_ok_and(|bytes| bytes.len() == 32);
        let to = String::from_utf8(URL_SAFE_NO_PAD.decode(to).ok()?).ok()?;
        let ends = Timestamp::from_second(ends.parse().ok()?).ok()?;
        (is_word && parts.next().is_none()).then(|| Self { word: word.to_owned(), ends, to })
    }

    /// What goes to the forge. Another forge, time or place makes it another attempt.
    fn attempt(&self, forge: &ForgeName, public_url: &str) -> Attempt {
        let made = |purpose: &str| {
            let mut mac = Hmac::<Sha256>::new_from_slice(self.word.as_bytes()).expect("HMAC takes a key of any length");
            mac.update(format!("{purpose}\0{forge}\0{}\0{}", self.ends.as_second(), self.to).as_bytes());
            URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
        };
        Attempt {
            redirect: format!("{public_url}/sign-in/{forge}/callback"),
            state: made("state"),
            verifier: made("verifier"),
        }
    }
}

/// The digest of a key, as PKCE wants it (`S256`).
pub(super) fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
}

fn attempt_cookie(state: &State) -> String {
    session::named(state, "bascule-sign-in")
}

/// To the forge.
pub(super) async fn begin(
    Of(state): Of<State>,
    Named(forge): Named<String>,
    Asked(asked): Asked<To>,
) -> Result<Response, Problem> {
    let forge: ForgeName = forge.parse().map_err(|_| Problem::absent("page"))?;
    let ends = state.clock.now().checked_add(PATIENCE).unwrap_or(Timestamp::MAX);
    let begun = Begun { word: session::word()?, ends, to: landing(asked.to) };
    let attempt = begun.attempt(&forge, &state.public_url);
    let address = state.people.address(&forge, &attempt, &challenge(&attempt.verifier));
    let mut response = go(&address.ok_or_else(|| Problem::absent("page"))?);
    let kept = session::set(&state, &attempt_cookie(&state), &begun.kept(), PATIENCE)?;
    response.headers_mut().append(header::SET_COOKIE, kept);
    Ok(response)
}

/// What a forge sends back. It may say more, which is none of our business.
#[derive(Deserialize)]
pub(super) struct Returned {
    code: Option<String>,
    state: Option<String>,
}

/// Back from the forge.
pub(super) async fn end(
    Of(state): Of<State>,
    headers: HeaderMap,
    Named(forge): Named<String>,
    Asked(returned): Asked<Returned>,
) -> Result<Response, Problem> {
    let forge: ForgeName = forge.parse().map_err(|_| Problem::absent("page"))?;
    let now = state.clock.now();
    let begun = session::cookie(&headers, &attempt_cookie(&state)).and_then(Begun::read);
    let attempt = begun.as_ref().map(|begun| begun.attempt(&forge, &state.public_url));
    let given = returned.state.unwrap_or_default();
    let (Some(begun), Some(attempt)) = (begun, attempt) else { return Ok(again(&state, &UNKNOWN)) };
    if !bool::from(attempt.state.as_bytes().ct_eq(given.as_bytes())) || now >= begun.ends {
        return Ok(again(&state, &UNKNOWN));
    }
    let Some(code) = returned.code.filter(|code| !code.is_empty() && code.len() <= 2_000) else {
        return Ok(again(&state, &REFUSED));
    };
    let person = match state.people.account(&forge, &code, &attempt).await {
        Ok(person) => person,
        Err(NotSignedIn::Refused) => return Ok(again(&state, &REFUSED)),
        Err(NotSignedIn::Away) => return Ok(again(&state, &AWAY)),
    };
    let before = match session::cookie(&headers, &session::name(&state)) {
        Some(said) => session::find(&state, said, Way::Browser).await?,
        None => None,
    };
    let mut tx = state.pool.begin().await?;
    if !sessions::use_up(&mut tx, &session::hash(&attempt.state), now, begun.ends).await? {
        return Ok(again(&state, &UNKNOWN));
    }
    // Whoever was signed in here before is not any more: what anybody put into this browser is of no use.
    if let Some(before) = before {
        session::end(&mut tx, &state.clock, before.id, "signed in anew").await?;
    }
    let (said, _) =
        session::begin(&mut tx, &state.clock, &person, Way::Browser, format!("sign-in through {forge}")).await?;
    tx.commit().await?;
    let mut response = go(&format!("{}{}", state.public_url, landing(Some(begun.to))));
    let cookie = session::set(&state, &session::name(&state), &said, session::lives())?;
    response.headers_mut().append(header::SET_COOKIE, cookie);
    Ok(forget_attempt(&state, response))
}

fn forget_attempt(state: &State, mut response: Response) -> Response {
    if let Ok(gone) = session::set(state, &attempt_cookie(state), "", SignedDuration::ZERO) {
        response.headers_mut().append(header::SET_COOKIE, gone);
    }
    response
}

/// Why a return signs nobody in.
struct Refusal(StatusCode, &'static str);

const UNKNOWN: Refusal = Refusal(
    StatusCode::BAD_REQUEST,
    "This sign-in was not begun in this browser, is used up, or took longer than ten minutes.",
);
const REFUSED: Refusal = Refusal(StatusCode::FORBIDDEN, "The forge does not say who you are.");
const AWAY: Refusal = Refusal(StatusCode::SERVICE_UNAVAILABLE, "The forge does not answer now.");

fn again(state: &State, Refusal(status, why): &Refusal) -> Response {
    let mut html = Html::begin("Bascule");
    html.ours("<h1>Not signed in</h1>").within("<p>", why, "</p>");
    html.within("<p><a href=\"", &format!("{}{HERE}", state.public_url), "\">Sign in again</a></p>");
    let response = page(*status, html, "'none'");
    // While the forge is away, the attempt is good still.
    if *status == StatusCode::SERVICE_UNAVAILABLE { response } else { forget_attempt(state, response) }
}

/// What the form says.
#[derive(Deserialize)]
pub(super) struct Out {
    csrf: String,
}

/// Ends the browser's session, here and there.
pub(super) async fn out(
    Of(state): Of<State>,
    headers: HeaderMap,
    form: Result<Form<Out>, FormRejection>,
) -> Result<Response, Problem> {
    let name = session::name(&state);
    let mut response = go(&format!("{}{HERE}", state.public_url));
    if let Some(said) = session::cookie(&headers, &name)
        && let Some(known) = session::find(&state, said, Way::Browser).await?
    {
        let Form(Out { csrf }) = form.map_err(|_| Problem::bad("this is not the form of the page"))?;
        origin::prove(&headers, &state.public_url, said, &csrf)?;
        let mut tx = state.pool.begin().await?;
        session::end(&mut tx, &state.clock, known.id, "signed out").await?;
        tx.commit().await?;
    }
    response.headers_mut().append(header::SET_COOKIE, session::set(&state, &name, "", SignedDuration::ZERO)?);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_leads_to_a_page_of_ours_or_nowhere() {
        for good in ["/", "/previews/1", "/login?port=1&state=a", "/a//b"] {
            assert_eq!(landing(Some(good.to_owned())), good);
        }
        let long = format!("/{}", "a".repeat(LONGEST));
        for bad in
            ["", "https://evil.example", "//evil.example", "/\\evil.example", "/a\\b", "/a b", "/a\r\nb", "/ü", &long]
        {
            assert_eq!(landing(Some(bad.to_owned())), HERE, "{bad:?}");
        }
        assert_eq!(encoded("/a?b=c&d"), "%2Fa%3Fb%3Dc%26d");
    }

    #[test]
    fn an_attempt_is_bound_to_all_it_is_made_of() {
        let begun = |word: &str, ends: i64, to: &str| Begun {
            word: URL_SAFE_NO_PAD.encode(Sha256::digest(word)),
            ends: Timestamp::from_second(ends).unwrap(),
            to: to.to_owned(),
        };
        let work: ForgeName = "work".parse().unwrap();
        let attempt = begun("a", 1, "/").attempt(&work, "https://x");
        assert_eq!(attempt.redirect, "https://x/sign-in/work/callback");
        assert_ne!(attempt.state, attempt.verifier);
        let again = Begun::read(&begun("a", 1, "/").kept()).unwrap();
        assert_eq!(again.attempt(&work, "https://x").state, attempt.state);
        for other in [begun("b", 1, "/"), begun("a", 2, "/"), begun("a", 1, "/x")] {
            assert_ne!(other.attempt(&work, "https://x").state, attempt.state);
        }
        assert_ne!(begun("a", 1, "/").attempt(&"gh".parse().unwrap(), "https://x").state, attempt.state);
        assert!(["", "a.b.c", "..", "a"].into_iter().all(|bad| Begun::read(bad).is_none()));
    }
}
