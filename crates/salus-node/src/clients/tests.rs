#![allow(clippy::unwrap_used)]

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use salus_model::ManualClock;
use serde_json::{Value as Json, json};

use super::*;

const AUDIENCE: &str = "https://h.example/oauth/token";

struct Site {
    folder: tempfile::TempDir,
    clock: Arc<ManualClock>,
    clients: Clients,
    registrations: Registrations,
    key: Vec<u8>,
}

/// A P-384 key and its public JWK.
fn ec_key(kid: &str) -> (Vec<u8>, String) {
    use base64::Engine as _;
    let base64 = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let point = pair.public_key_raw();
    let (x, y) = point[1..].split_at(48);
    let (x, y) = (base64.encode(x), base64.encode(y));
    let jwk = json!({"kty": "EC", "crv": "P-384", "kid": kid, "alg": "ES384", "x": x, "y": y});
    (pair.serialize_der(), json!({"keys": [jwk]}).to_string())
}

fn client(id: &str, jwks: &str) -> Client {
    Client {
        id: id.parse().unwrap(),
        roles: ["steward".parse().unwrap()].into(),
        purpose: Purpose::Operations,
        scope: "system/*.rs".to_owned(),
        keys: ClientKey::from_jwks(jwks).unwrap(),
    }
}

fn site() -> Site {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new("2026-01-01T00:00:00Z".parse().unwrap()));
    let clients = Clients::open(folder.path(), Arc::<ManualClock>::clone(&clock)).unwrap();
    let (key, jwks) = ec_key("k1");
    let registrations = Registrations::new(folder.path());
    registrations.register(client("lake-b", &jwks)).unwrap();
    Site { folder, clock, clients, registrations, key }
}

impl Site {
    fn claims(&self, jti: &str) -> Json {
        let now = self.clock.now().as_micros() / 1_000_000;
        json!({"iss": "lake-b", "sub": "lake-b", "aud": AUDIENCE, "exp": now + 240, "jti": jti})
    }

    fn sign(&self, claims: &Json) -> String {
        signed(&self.key, "k1", Algorithm::ES384, claims)
    }

    fn sign_in(&self, assertion: &str) -> Result<IssuedToken, SignInRefused> {
        self.clients.sign_in(assertion, "system/*.rs", AUDIENCE)
    }
}

fn signed(key: &[u8], kid: &str, algorithm: Algorithm, claims: &Json) -> String {
    let mut header = Header::new(algorithm);
    header.kid = Some(kid.to_owned());
    let key = match algorithm {
        Algorithm::HS384 => EncodingKey::from_secret(key),
        _ => EncodingKey::from_ec_der(key),
    };
    jsonwebtoken::encode(&header, claims, &key).unwrap()
}

fn why(refused: SignInRefused) -> assertion::AssertionRefused {
    assert_eq!(refused.to_string(), "the client's assertion is not accepted");
    match refused {
        SignInRefused::Client(why) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_client_signs_in_and_acts_in_its_role_for_a_while() {
    let site = site();
    let issued = site.sign_in(&site.sign(&site.claims("1"))).unwrap();
    assert_eq!((issued.seconds, issued.scope.as_str()), (300, "system/*.rs"));
    let identity = site.clients.authenticate(&issued.token).await.unwrap();
    assert_eq!(identity.staff.to_string(), "client:lake-b");
    assert_eq!(identity.purpose, Purpose::Operations);
    let other = AccessToken::new(issued.token.expose().replace('a', "b"));
    assert!(site.clients.authenticate(&other).await.is_err());
    site.clock.advance_micros(299_000_000);
    assert!(site.clients.authenticate(&issued.token).await.is_ok());
    site.clock.advance_micros(1_000_000);
    assert!(site.clients.authenticate(&issued.token).await.is_err());
    // What it began may take longer, under a token that stays here.
    assert!(site.clients.for_job(&issued.token).is_none());
    let issued = site.sign_in(&site.sign(&site.claims("2"))).unwrap();
    let (job, done) = [(); 2].map(|()| site.clients.for_job(&issued.token).unwrap()).into();
    site.clock.advance_micros(3_600_000_000);
    assert!(site.clients.authenticate(&issued.token).await.is_err());
    assert!(site.clients.authenticate(&job).await.is_ok());
    site.clients.forget(&done);
    assert!(site.clients.authenticate(&done).await.is_err());
    // A client that is removed is refused at once.
    let issued = site.sign_in(&site.sign(&site.claims("4"))).unwrap();
    site.registrations.remove(&"lake-b".parse().unwrap()).unwrap();
    assert!(site.clients.authenticate(&issued.token).await.is_err());
    assert!(site.clients.authenticate(&job).await.is_err());
    let refused = site.sign_in(&site.sign(&site.claims("3"))).unwrap_err();
    assert_eq!(why(refused), assertion::AssertionRefused::Unknown);
}

#[test]
fn an_assertion_is_used_once_also_across_a_restart() {
    let site = site();
    let assertion = site.sign(&site.claims("1"));
    site.sign_in(&assertion).unwrap();
    assert_eq!(why(site.sign_in(&assertion).unwrap_err()), assertion::AssertionRefused::Replayed);
    // The same jti in another assertion is a replay too.
    let mut claims = site.claims("1");
    claims["exp"] = json!(claims["exp"].as_i64().unwrap() + 1);
    let again = site.sign(&claims);
    assert_eq!(why(site.sign_in(&again).unwrap_err()), assertion::AssertionRefused::Replayed);
    let restarted = Clients::open(site.folder.path(), Arc::<ManualClock>::clone(&site.clock));
    let refused = restarted.unwrap().sign_in(&assertion, "system/*.rs", AUDIENCE).unwrap_err();
    assert_eq!(why(refused), assertion::AssertionRefused::Replayed);
}

#[test]
fn each_claim_is_checked() {
    use assertion::AssertionRefused as R;
    let site = site();
    let now = site.clock.now().as_micros() / 1_000_000;
    let cases = [
        ("iss", json!("somebody"), R::Unknown),
        ("sub", json!("somebody"), R::Subject),
        ("aud", json!("https://other.example/oauth/token"), R::Audience),
        ("aud", json!([]), R::Audience),
        ("exp", json!(now), R::Time),
        ("exp", json!(now + 301), R::Time),
        ("iat", json!(now + 61), R::Time),
        ("nbf", json!(now + 61), R::Time),
        ("jti", Json::Null, R::Jti),
        ("jti", json!(""), R::Jti),
        ("jti", json!("x".repeat(201)), R::Jti),
        ("exp", json!("soon"), R::Form),
    ];
    for (at, (claim, value, wanted)) in cases.into_iter().enumerate() {
        let mut claims = site.claims(&format!("c{at}"));
        claims[claim] = value;
        let refused = site.sign_in(&site.sign(&claims)).unwrap_err();
        assert_eq!(why(refused), wanted, "{claim} {at}");
    }
    let mut many = site.claims("many");
    many["aud"] = json!(["https://other.example", AUDIENCE]);
    site.sign_in(&site.sign(&many)).unwrap();
}

#[test]
fn no_other_key_and_no_other_algorithm_signs() {
    use assertion::AssertionRefused as R;
    let site = site();
    let claims = site.claims("1");
    let (stranger, _) = ec_key("k1");
    let forged = signed(&stranger, "k1", Algorithm::ES384, &claims);
    assert_eq!(why(site.sign_in(&forged).unwrap_err()), R::Signature);
    let unknown = signed(&site.key, "k2", Algorithm::ES384, &claims);
    assert_eq!(why(site.sign_in(&unknown).unwrap_err()), R::Unknown);
    // The public key as a shared secret: the classic confusion.
    let public = toml::to_string(&site.registrations.list().unwrap()[0].keys[0]).unwrap();
    let confused = signed(public.as_bytes(), "k1", Algorithm::HS384, &claims);
    assert_eq!(why(site.sign_in(&confused).unwrap_err()), R::Algorithm);
    // No signature at all.
    use base64::Engine as _;
    let base64 = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let header = base64.encode(r#"{"alg":"none","typ":"JWT","kid":"k1"}"#);
    let none = format!("{header}.{}.", base64.encode(claims.to_string()));
    assert_eq!(why(site.sign_in(&none).unwrap_err()), R::Form);
    // Claims swapped under a good signature.
    let good = site.sign(&claims);
    let mut parts: Vec<&str> = good.split('.').collect();
    let mut other = claims.clone();
    other["jti"] = json!("2");
    let other = base64.encode(other.to_string());
    parts[1] = &other;
    assert_eq!(why(site.sign_in(&parts.join(".")).unwrap_err()), R::Signature);
    for nonsense in ["", "a.b", "a.b.c", "....", &"x".repeat(20_000)] {
        assert_eq!(why(site.sign_in(nonsense).unwrap_err()), R::Form);
    }
}

#[test]
fn registrations_are_checked() {
    let site = site();
    let (_, jwks) = ec_key("k");
    let mut secondary = client("x", &jwks);
    secondary.purpose = Purpose::Research;
    assert!(matches!(site.registrations.register(secondary), Err(ClientsError::NotCare(_))));
    let mut keyless = client("x", &jwks);
    keyless.keys.clear();
    assert!(matches!(site.registrations.register(keyless), Err(ClientsError::NoKey)));
    let private = jwks.replace("\"kid\"", "\"d\": \"AA\", \"kid\"");
    assert!(matches!(ClientKey::from_jwks(&private), Err(ClientsError::Key { .. })));
    let small = jwks.replace("P-384", "P-256");
    assert!(matches!(ClientKey::from_jwks(&small), Err(ClientsError::Key { .. })));
    let rsa = r#"{"kty": "RSA", "kid": "r", "n": "AQAB", "e": "AQAB"}"#;
    assert!(matches!(ClientKey::from_jwks(rsa), Err(ClientsError::Key { .. })));
    let symmetric = r#"{"keys": [{"kty": "oct", "kid": "s", "k": "AA"}]}"#;
    assert!(matches!(ClientKey::from_jwks(symmetric), Err(ClientsError::Jwks)));
    assert!("a b".parse::<ClientId>().is_err());
    // The file has public keys alone, and nobody else reads it.
    let file = site.folder.path().join("clients.toml");
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o077, 0);
    assert_eq!(site.registrations.list().unwrap().len(), 1);
}

#[test]
fn scopes_cover_what_they_say() {
    for (has, asked, wanted) in [
        ("system/*.rs", "system/*.rs", true),
        ("system/*.rs", "system/*.read", true),
        ("system/*.rs", "system/Patient.r", true),
        ("system/*.read", "system/*.rs", true),
        ("system/Patient.rs", "system/*.rs", false),
        ("system/Patient.rs", "system/Observation.rs", false),
        ("system/*.rs", "system/*.cruds", false),
        ("system/*.rs", "system/*.write", false),
        ("system/*.cruds", "system/*.*", true),
        ("system/*.rs", "user/*.rs", false),
        ("system/*.rs", "system/*.", false),
    ] {
        assert_eq!(covers(has, asked), wanted, "{has} {asked}");
    }
    let site = site();
    let assertion = site.sign(&site.claims("1"));
    let refused = site.clients.sign_in(&assertion, "patient/*.rs", AUDIENCE).unwrap_err();
    assert!(matches!(refused, SignInRefused::Scope { .. }));
}
