//! The harness's HTTP client.

use std::sync::LazyLock;

use reqwest::Client;

use crate::patience::PATIENCE;

/// A client with a limit on every request, which asks no proxy and follows nobody.
pub fn client() -> &'static Client {
    static CLIENT: LazyLock<Client> = LazyLock::new(|| {
        // Fails only if there is a provider already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // A pool would outlive the runtime of the test that filled it.
        let builder = Client::builder().timeout(PATIENCE).no_proxy().pool_max_idle_per_host(0);
        builder.redirect(reqwest::redirect::Policy::none()).build().unwrap()
    });
    &CLIENT
}
