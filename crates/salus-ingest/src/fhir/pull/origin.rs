use std::fmt;
use std::net::IpAddr;

use reqwest::Url;
use salus_model::{Class, Classified};
use serde::{Deserialize, Serialize};
use url::Host;

/// Why an address is refused.
///
/// # Privacy
/// The message has an address's origin at most: its path may name a job or a patient, and its
/// query may be a credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is no URL.
    #[error("'{text}' is no address of the form https://host/path")]
    NoUrl {
        /// What was given.
        text: String,
    },
    /// Patients' records would cross a network in the clear.
    #[error("{origin} is not https; records travel encrypted, and http is for this machine alone")]
    Plaintext {
        /// Where.
        origin: Origin,
    },
    /// A user name, a password or a fragment.
    #[error("an address of {origin} carries a user name, a password or a fragment")]
    Adorned {
        /// Where.
        origin: Origin,
    },
    /// A server elsewhere names an address inside this machine or its network.
    #[error(
        "the server names {origin}, an address inside this machine or its network, while it is \
         elsewhere itself; if that is meant, list it as trusted"
    )]
    Inward {
        /// Where.
        origin: Origin,
    },
}

impl Classified for AddressError {
    fn class(&self) -> Class {
        match self {
            Self::Inward { .. } => Class::Peer,
            _ => Class::BadRequest,
        }
    }
}

/// Scheme, host and port: to whom a credential may be shown.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Origin(String);

impl Origin {
    /// The origin of an address.
    #[must_use]
    pub fn of(url: &Url) -> Self {
        Self(url.origin().ascii_serialization())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Origin {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        parse(&text).map(|url| Self::of(&url))
    }
}

impl From<Origin> for String {
    fn from(origin: Origin) -> Self {
        origin.0
    }
}

/// Where an address leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    Loopback,
    /// A private, link-local or otherwise special address, such as a cloud's metadata endpoint.
    Inside,
    Elsewhere,
}

fn reach(url: &Url) -> Reach {
    let ip = match url.host() {
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip),
        Some(Host::Ipv6(ip)) => ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4),
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            let local = name == "localhost" || name.ends_with(".localhost");
            return if local { Reach::Loopback } else { Reach::Elsewhere };
        }
        None => return Reach::Elsewhere,
    };
    if ip.is_loopback() {
        return Reach::Loopback;
    }
    let inside = match ip {
        IpAddr::V4(ip) => {
            ip.is_private() || ip.is_link_local() || ip.is_unspecified() || ip.is_broadcast()
        }
        IpAddr::V6(ip) => {
            let first = ip.segments()[0];
            ip.is_unspecified() || first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfe80
        }
    };
    if inside { Reach::Inside } else { Reach::Elsewhere }
}

fn parse(text: &str) -> Result<Url, AddressError> {
    let refused = || {
        // What a person typed is shown without what stands behind a question mark.
        let text = text.split(['?', '#', '@']).next().unwrap_or_default();
        AddressError::NoUrl { text: text.chars().take(200).collect() }
    };
    let url = Url::parse(text).map_err(|_| refused())?;
    let web = matches!(url.scheme(), "http" | "https") && url.has_host();
    if web { checked(url) } else { Err(refused()) }
}

/// An address that somebody else named, and its origin: https, or http to this machine, without
/// a user name, a password or a fragment.
pub(crate) fn address(text: &str) -> Result<(Url, Origin), AddressError> {
    let url = parse(text)?;
    let origin = Origin::of(&url);
    Ok((url, origin))
}

fn checked(url: Url) -> Result<Url, AddressError> {
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(AddressError::Adorned { origin: Origin::of(&url) });
    }
    if url.scheme() != "https" && reach(&url) != Reach::Loopback {
        return Err(AddressError::Plaintext { origin: Origin::of(&url) });
    }
    Ok(url)
}

/// The address of a FHIR endpoint: https, or http on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BaseUrl(Url);

impl BaseUrl {
    /// The endpoint itself, without a slash at the end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }

    /// Its origin.
    #[must_use]
    pub fn origin(&self) -> Origin {
        Origin::of(&self.0)
    }

    /// Whether it is on this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        reach(&self.0) == Reach::Loopback
    }

    /// An address below the endpoint.
    pub(crate) fn below(&self, path: &[&str]) -> Url {
        let mut url = self.0.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    /// An address that the server named, which may be relative to the one that was asked.
    pub(crate) fn named(
        &self,
        asked: &Url,
        text: &str,
        trusted: &[Origin],
    ) -> Result<Url, AddressError> {
        let refused = || AddressError::NoUrl { text: "(an address that the server named)".into() };
        let url = asked.join(text).map_err(|_| refused())?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refused());
        }
        let url = checked(url)?;
        let origin = Origin::of(&url);
        let known = origin == self.origin() || trusted.contains(&origin);
        // A server must not make us knock on doors that it cannot reach itself.
        let inward = match reach(&url) {
            Reach::Elsewhere => false,
            Reach::Loopback => !self.is_loopback(),
            Reach::Inside => reach(&self.0) == Reach::Elsewhere,
        };
        if inward && !known { Err(AddressError::Inward { origin }) } else { Ok(url) }
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for BaseUrl {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let url = parse(text)?;
        match url.query() {
            Some(_) => Err(AddressError::Adorned { origin: Origin::of(&url) }),
            None => Ok(Self(url)),
        }
    }
}

impl TryFrom<String> for BaseUrl {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<BaseUrl> for String {
    fn from(url: BaseUrl) -> Self {
        url.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn base(text: &str) -> Result<BaseUrl, AddressError> {
        text.parse()
    }

    #[test]
    fn only_https_leaves_the_machine() {
        assert!(base("https://hospital.example/fhir").is_ok());
        for local in ["http://localhost:8080/fhir", "http://127.0.0.1/fhir", "http://[::1]:1/f"] {
            assert!(base(local).is_ok(), "{local}");
        }
        for plain in ["http://hospital.example/fhir", "http://10.0.0.1/", "http://localhost.evil/"]
        {
            assert!(matches!(base(plain), Err(AddressError::Plaintext { .. })), "{plain}");
        }
        for none in ["hospital.example", "ftp://h.example/", "file:///etc/passwd", "https:"] {
            assert!(matches!(base(none), Err(AddressError::NoUrl { .. })), "{none}");
        }
        for adorned in ["https://me:pw@h.example/", "https://h.example/#x", "https://h.example/?a"]
        {
            let refused = base(adorned).unwrap_err();
            assert!(matches!(refused, AddressError::Adorned { .. }), "{adorned}");
            assert!(!refused.to_string().contains("pw"));
        }
    }

    #[test]
    fn a_server_elsewhere_cannot_point_inward() {
        let far = base("https://hospital.example/fhir").unwrap();
        let asked = far.below(&["$export"]);
        let name = |text: &str| far.named(&asked, text, &[]);
        assert!(name("https://files.example/1").is_ok());
        assert_eq!(name("/job/1").unwrap().as_str(), "https://hospital.example/job/1");
        let inward = [
            "https://127.0.0.1/x",
            "http://localhost:8200/v1/sys",
            "https://169.254.169.254/latest",
            "https://10.1.2.3/x",
            "https://[::1]/x",
            "https://[fd00::1]/x",
            "https://[::ffff:127.0.0.1]/x",
        ];
        for text in inward {
            assert!(matches!(name(text), Err(AddressError::Inward { .. })), "{text}");
        }
        assert!(matches!(name("http://files.example/1"), Err(AddressError::Plaintext { .. })));
        assert!(matches!(name("file:///etc/passwd"), Err(AddressError::NoUrl { .. })));
        let trusted = [Origin::of(&Url::parse("https://10.1.2.3/").unwrap())];
        assert!(far.named(&asked, "https://10.1.2.3/x", &trusted).is_ok());
    }

    #[test]
    fn addresses_below_keep_the_path_and_escape_what_is_put_in() {
        let base = base("https://h.example/fhir/r4/").unwrap();
        let url = base.below(&["Group", "a/../b", "$export"]);
        assert_eq!(url.as_str(), "https://h.example/fhir/r4/Group/a%2F..%2Fb/$export");
        assert_eq!(base.as_str(), "https://h.example/fhir/r4");
    }
}
