//! Counters of a site, in Prometheus' text format.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// Labels whose values are written in the program: nothing that a request, a person or a record
/// says can become one.
type Labels = Vec<(&'static str, &'static str)>;

/// One counter, gauge or histogram, for inventories and documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricInfo {
    /// Its name as it is exposed.
    pub name: &'static str,
    /// What its labels are.
    pub labels: &'static [&'static str],
    /// What it counts.
    pub help: &'static str,
}

const fn metric(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> MetricInfo {
    MetricInfo { name, labels, help }
}

const STATEMENTS: MetricInfo =
    metric("salus_statements", &["outcome"], "Statements, by how they ended");
const STATEMENT_SECONDS: MetricInfo =
    metric("salus_statement_seconds", &[], "How long statements took, from asking to record");
const HTTP: MetricInfo =
    metric("salus_http_requests", &["route", "status"], "HTTP requests, by route and status class");
const HTTP_SECONDS: MetricInfo =
    metric("salus_http_request_seconds", &["route"], "How long HTTP requests took, by route");
const RECORDS: MetricInfo = metric("salus_access_records", &[], "Records in the access log");
const CACHED: MetricInfo = metric("salus_cached_keys", &[], "Unwrapped keys in memory");
const CERTIFICATE: MetricInfo = metric(
    "salus_certificate_expiry_seconds",
    &[],
    "When the certificate of the services ends, in seconds since 1970",
);

/// Every metric that there is.
pub const METRICS: &[MetricInfo] =
    &[STATEMENTS, STATEMENT_SECONDS, HTTP, HTTP_SECONDS, RECORDS, CACHED, CERTIFICATE];

fn seconds() -> Histogram {
    // From a millisecond to half a minute.
    Histogram::new(exponential_buckets(0.001, 2.0, 16))
}

/// How a statement ended, as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With an answer.
    Answered,
    /// Policy forbade it.
    Refused,
    /// It failed or was cancelled.
    Failed,
}

/// The counters of a site; a clone counts into the same.
///
/// # Privacy
/// Counts and times, of everybody together. No label tells a person, a role, a dataset or a
/// statement. Who may see how much is going on needs a role all the same.
#[derive(Clone)]
pub struct SiteMetrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    statements: Family<Labels, Counter>,
    statement_seconds: Histogram,
    http: Family<Labels, Counter>,
    http_seconds: Family<Labels, Histogram>,
    records: Gauge,
    cached: Gauge,
    certificate: Gauge,
}

impl Default for SiteMetrics {
    fn default() -> Self {
        let statements = Family::<Labels, Counter>::default();
        let http = Family::<Labels, Counter>::default();
        let http_seconds = Family::<Labels, Histogram>::new_with_constructor(seconds);
        let statement_seconds = seconds();
        let (records, cached, certificate) = (Gauge::default(), Gauge::default(), Gauge::default());
        let mut registry = Registry::default();
        registry.register(STATEMENTS.name, STATEMENTS.help, statements.clone());
        registry.register(
            STATEMENT_SECONDS.name,
            STATEMENT_SECONDS.help,
            statement_seconds.clone(),
        );
        registry.register(HTTP.name, HTTP.help, http.clone());
        registry.register(HTTP_SECONDS.name, HTTP_SECONDS.help, http_seconds.clone());
        registry.register(RECORDS.name, RECORDS.help, records.clone());
        registry.register(CACHED.name, CACHED.help, cached.clone());
        registry.register(CERTIFICATE.name, CERTIFICATE.help, certificate.clone());
        Self(Arc::new(Inner {
            registry,
            statements,
            statement_seconds,
            http,
            http_seconds,
            records,
            cached,
            certificate,
        }))
    }
}

impl SiteMetrics {
    /// Counts a statement.
    pub fn statement(&self, ended: Ended, took: Duration) {
        let outcome = match ended {
            Ended::Answered => "answered",
            Ended::Refused => "refused",
            Ended::Failed => "failed",
        };
        self.0.statements.get_or_create(&vec![("outcome", outcome)]).inc();
        self.0.statement_seconds.observe(took.as_secs_f64());
    }

    /// Counts an HTTP request: its route as the program knows it, and the answer's status.
    pub fn http(&self, route: &'static str, status: u16, took: Duration) {
        let class = match status {
            100..=199 => "1xx",
            200..=299 => "2xx",
            300..=399 => "3xx",
            400..=499 => "4xx",
            _ => "5xx",
        };
        self.0.http.get_or_create(&vec![("route", route), ("status", class)]).inc();
        self.0.http_seconds.get_or_create(&vec![("route", route)]).observe(took.as_secs_f64());
    }

    /// Notes what is measured at the moment of asking.
    pub fn note(&self, records: u64, cached_keys: usize, certificate_expiry_seconds: Option<i64>) {
        self.0.records.set(i64::try_from(records).unwrap_or(i64::MAX));
        self.0.cached.set(i64::try_from(cached_keys).unwrap_or(i64::MAX));
        if let Some(expiry) = certificate_expiry_seconds {
            self.0.certificate.set(expiry);
        }
    }

    /// Everything, as OpenMetrics text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a string does not fail.
        let _ = encode(&mut text, &self.0.registry);
        text
    }
}
