//! Clients: from configuration, secrets and the SDK's own chain of credentials.
//!
//! Everything is read anew for each client. Retries are off: the worker has them, with its own patience.

use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{
    Builder, Credentials, RequestChecksumCalculation, RuntimeComponents, SharedCredentialsProvider,
    SharedHttpClient,
};
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use percent_encoding::percent_decode_str;
use secrecy::ExposeSecret;

use super::config::S3Config;
use crate::limits;
use crate::net::NetworkConfig;
use crate::recovery::Recovery;
use crate::secret::{Secret, environment};
use crate::sink::SinkError;

/// What stores other than Amazon's are told; they have no regions.
const NO_REGION: &str = "us-east-1";
/// Names our sessions in the logs of the role's owner, and credentials given here.
const OURS: &str = "custodex";

/// A client with everything as it is now.
pub(super) async fn connect(config: &S3Config, network: &NetworkConfig) -> Result<Client, SinkError> {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(limits::CONNECT_TIMEOUT)
        .read_timeout(limits::READ_TIMEOUT)
        .operation_attempt_timeout(limits::S3_TIMEOUT)
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(http(config, network)?)
        .timeout_config(timeouts);
    if let Some(profile) = &config.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(region) = &config.region {
        loader = loader.region(Region::new(region.clone()));
    }
    let mut shared = with_keys(loader, config)?.load().await;
    if shared.region().is_none() {
        if config.endpoint_url.is_none() {
            let hint = "set region to that of the bucket, such as \"eu-west-1\"".into();
            return Err(SinkError::new("the bucket's region is not known", Recovery::Pause { hint }));
        }
        shared = shared.into_builder().region(Region::from_static(NO_REGION)).build();
    }
    let shared = in_role(shared, config).await;
    let mut builder = Builder::from(&shared)
        .retry_config(RetryConfig::disabled())
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .force_path_style(config.path_style());
    if let Some(url) = &config.endpoint_url {
        builder = builder.endpoint_url(url.as_str());
    }
    Ok(Client::from_conf(builder.build()))
}

fn with_keys(loader: ConfigLoader, config: &S3Config) -> Result<ConfigLoader, SinkError> {
    let (Some(id), Some(key)) = (&config.access_key_id, &config.secret_access_key) else { return Ok(loader) };
    let read = |secret: &Secret| {
        secret.read().map_err(|error| SinkError::new(error.problem, Recovery::Pause { hint: error.hint }))
    };
    let (id, key) = (read(id)?, read(key)?);
    Ok(loader.credentials_provider(Credentials::new(
        id.expose_secret(),
        key.expose_secret(),
        None,
        None,
        OURS,
    )))
}

async fn in_role(shared: SdkConfig, config: &S3Config) -> SdkConfig {
    let Some(role) = &config.role_arn else { return shared };
    let mut role = AssumeRoleProvider::builder(role).configure(&shared).session_name(OURS);
    if let Some(id) = &config.external_id {
        role = role.external_id(id);
    }
    let provider = SharedCredentialsProvider::new(role.build().await);
    shared.into_builder().credentials_provider(provider).build()
}

/// The sink's own `ca_file` stands in for the system's roots; that of `[network]` comes beside them.
fn http(config: &S3Config, network: &NetworkConfig) -> Result<SharedHttpClient, SinkError> {
    let mut trust = TrustStore::empty().with_native_roots(config.tls.ca_file.is_none());
    for path in [&config.tls.ca_file, &network.ca_file].into_iter().flatten() {
        let read = std::fs::read(path).map_err(|error| (error.to_string(), path));
        let pem = read.and_then(|pem| match reqwest::Certificate::from_pem_bundle(&pem) {
            Ok(found) if found.is_empty() => Err(("no certificate in it".to_owned(), path)),
            Ok(_) => Ok(pem),
            Err(_) => Err(("something in it is no certificate".to_owned(), path)),
        });
        let pem = pem.map_err(|(fault, path)| {
            let hint = "name a PEM file with the certificates to trust, readable by custodex".into();
            SinkError::new(format!("ca_file {}: {fault}", path.display()), Recovery::Pause { hint })
        })?;
        trust.add_pem_certificate(pem);
    }
    let unusable = |error: &dyn std::fmt::Display| {
        let hint = "see ca_file and proxy".into();
        SinkError::new(format!("the way out cannot be used: {error}"), Recovery::Pause { hint })
    };
    let context = TlsContext::builder().with_trust_store(trust).build().map_err(|error| unusable(&error))?;
    let proxy = proxy(network).map_err(|error| unusable(&error))?;
    Ok(aws_smithy_http_client::Builder::new().build_with_connector_fn(move |settings, parts| {
        let mut connector = Connector::builder().proxy_config(proxy.clone());
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(parts.and_then(RuntimeComponents::sleep_impl));
        let connector = connector.tls_provider(Provider::Rustls(CryptoMode::AwsLc));
        connector.tls_context(context.clone()).build()
    }))
}

/// That of the configuration, or of the environment.
fn proxy(network: &NetworkConfig) -> Result<ProxyConfig, String> {
    let Some(url) = &network.proxy else { return Ok(ProxyConfig::from_env()) };
    let mut plain = url.clone();
    let cleared = plain.set_password(None).and_then(|()| plain.set_username(""));
    cleared.map_err(|()| "the proxy's address has no host".to_owned())?;
    let mut proxy = ProxyConfig::all(plain.as_str()).map_err(|error| error.to_string())?;
    if let Some(rules) = environment("NO_PROXY").or_else(|| environment("no_proxy")) {
        proxy = proxy.no_proxy(rules);
    }
    if !url.username().is_empty() {
        let decoded = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let password = decoded(url.password().unwrap_or_default());
        proxy = proxy.with_basic_auth(decoded(url.username()), password);
    }
    Ok(proxy)
}
