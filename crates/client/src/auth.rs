//! The `Authorization` header and the headers of `http_headers`: made once, made again when a file behind them changes.

use crate::config::HttpConfig;
use crate::error::{Error, ErrorKind};
use crate::file::WatchedFile;
use crate::oauth2::TokenSource;
use crate::options::Options;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use parking_lot::Mutex;
use std::sync::Arc;

/// Text from the config or from a file.
#[derive(Debug)]
pub(crate) enum Text {
    Fixed(Arc<[u8]>),
    File { file: WatchedFile, what: &'static str },
}

impl Text {
    pub fn new(text: &str, path: &yaml::FilePath, what: &'static str, options: &Options) -> Self {
        match path.get() {
            Some(p) => Text::File { file: WatchedFile::new(p, Arc::clone(&options.fs), Arc::clone(&options.clock)), what },
            None => Text::Fixed(text.as_bytes().into()),
        }
    }

    pub fn read(&self) -> Result<Arc<[u8]>, Error> {
        match self {
            Text::Fixed(t) => Ok(Arc::clone(t)),
            Text::File { file, what } => {
                file.read().map_err(|e| Error::with(ErrorKind::File, format!("unable to read {what} file {}", file.path().display()), e))
            }
        }
    }
}

/// How requests prove who sends them.
pub(crate) enum Auth {
    None,
    Basic { user: Text, password: Text, made: Made },
    Header { kind: String, credentials: Text, made: Made },
    OAuth2(Box<TokenSource>),
}

/// The header made last, and from what.
#[derive(Default)]
pub(crate) struct Made(Mutex<Option<(Arc<[u8]>, Arc<[u8]>, HeaderValue)>>);

impl Made {
    fn get(&self, a: &Arc<[u8]>, b: &Arc<[u8]>, make: impl FnOnce(&[u8], &[u8]) -> Vec<u8>) -> Result<HeaderValue, Error> {
        let mut made = self.0.lock();
        if let Some((old_a, old_b, value)) = &*made
            && Arc::ptr_eq(old_a, a)
            && Arc::ptr_eq(old_b, b)
        {
            return Ok(value.clone());
        }
        let value = secret_header(&make(a.trim_ascii(), b.trim_ascii()))?;
        *made = Some((Arc::clone(a), Arc::clone(b), value.clone()));
        Ok(value)
    }
}

pub(crate) fn secret_header(bytes: &[u8]) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::from_bytes(bytes).map_err(|_| Error::new(ErrorKind::Config, "credentials hold characters that no header may"))?;
    value.set_sensitive(true);
    Ok(value)
}

pub(crate) fn basic(user: &[u8], password: &[u8]) -> Vec<u8> {
    let pair = [user, b":", password].concat();
    format!("Basic {}", STANDARD.encode(pair)).into_bytes()
}

impl Auth {
    pub fn new(config: &HttpConfig, name: &str, options: &Options) -> Result<Self, Error> {
        if let Some(b) = &config.basic_auth {
            return Ok(Auth::Basic {
                user: Text::new(&b.username, &b.username_file, "basic auth username", options),
                password: Text::new(b.password.reveal(), &b.password_file, "basic auth password", options),
                made: Made::default(),
            });
        }
        if let Some(a) = &config.authorization {
            let kind = if a.kind.is_empty() { "Bearer".to_string() } else { a.kind.clone() };
            let credentials = Text::new(a.credentials.reveal(), &a.credentials_file, "authorization credentials", options);
            return Ok(Auth::Header { kind, credentials, made: Made::default() });
        }
        match &config.oauth2 {
            Some(o) => Ok(Auth::OAuth2(Box::new(TokenSource::new(o, name, options)?))),
            None => Ok(Auth::None),
        }
    }

    /// The header for a request that is made now.
    pub async fn header(&self) -> Result<Option<HeaderValue>, Error> {
        match self {
            Auth::None => Ok(None),
            Auth::Basic { user, password, made } => made.get(&user.read()?, &password.read()?, basic).map(Some),
            Auth::Header { kind, credentials, made } => {
                let c = credentials.read()?;
                made.get(&c, &c, |c, _| [kind.as_bytes(), b" ", c].concat()).map(Some)
            }
            Auth::OAuth2(source) => source.header().await.map(Some),
        }
    }

    /// After an answer that the credentials are not good: a cached token is not used again.
    pub fn refused(&self) {
        if let Auth::OAuth2(source) = self {
            source.forget();
        }
    }
}

/// The headers of `http_headers`.
pub(crate) struct CustomHeaders {
    fixed: Vec<(HeaderName, HeaderValue)>,
    files: Vec<(HeaderName, Text)>,
}

impl CustomHeaders {
    pub fn new(config: &HttpConfig, options: &Options) -> Result<Self, Error> {
        let (mut fixed, mut files) = (Vec::new(), Vec::new());
        for (name, h) in &config.http_headers {
            let bad = |what: &str| Error::new(ErrorKind::Config, format!("{what} of header {name:?} is not valid"));
            let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad("name"))?;
            for v in &h.values {
                fixed.push((key.clone(), HeaderValue::from_str(v).map_err(|_| bad("value"))?));
            }
            for s in &h.secrets {
                fixed.push((key.clone(), secret_header(s.reveal().as_bytes()).map_err(|_| bad("secret"))?));
            }
            for f in &h.files {
                files.push((key.clone(), Text::new("", f, "header", options)));
            }
        }
        Ok(CustomHeaders { fixed, files })
    }

    pub fn apply(&self, headers: &mut HeaderMap) -> Result<(), Error> {
        for (k, v) in &self.fixed {
            headers.append(k.clone(), v.clone());
        }
        for (k, text) in &self.files {
            headers.append(k.clone(), secret_header(text.read()?.trim_ascii())?);
        }
        Ok(())
    }
}

pub(crate) fn set_authorization(headers: &mut HeaderMap, value: Option<HeaderValue>) {
    if let Some(v) = value
        && !headers.contains_key(header::AUTHORIZATION)
    {
        headers.insert(header::AUTHORIZATION, v);
    }
}
