//! A person's browser: headless Chromium, driven through WebDriver.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use fantoccini::{Client, ClientBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::child::{Child, kill_all_that_name};
use crate::patience::{eventually, within_time};

/// The line in which the driver names its port.
const DRIVER_LISTENS: &str = "started successfully on port ";

/// Starts of the driver; a clash of ports is rare, two in a row are rarer.
const DRIVER_STARTS: usize = 5;
/// A browser starts and loads pages slowly on a machine that is busy with others.
const BROWSER_PATIENCE: Duration = Duration::from_secs(30);

/// A browser with one window. It ends with the driver, and the driver with the test; nothing of either stays behind.
#[derive(Debug)]
pub struct Chromium {
    client: Client,
    _driver: Child,
    place: Place,
}

/// Where driver and browser write: a profile, temporary files, and what programs leave in their user's home.
#[derive(Debug)]
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(TempDir::new().unwrap());
        for part in ["profile", "tmp", "home"] {
            std::fs::create_dir(place.part(part)).unwrap();
        }
        place
    }

    fn part(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

impl Drop for Place {
    /// Ends the browser before its files are removed: it ends a while after its driver by itself, and writes until then.
    fn drop(&mut self) {
        kill_all_that_name(self.0.path());
    }
}

impl Chromium {
    /// Starts a browser whose person reads `language`, such as `zh-CN`.
    pub async fn start(language: &str) -> Self {
        let place = Place::new();
        let (driver, port) = driver(&place).await;
        let arguments = [
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            "--no-first-run".to_owned(),
            // The browser ends when the driver does, even if that is killed.
            "--remote-debugging-pipe".to_owned(),
            format!("--accept-lang={language}"),
            format!("--user-data-dir={}", place.part("profile").display()),
        ];
        let capabilities = json!({
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let Value::Object(capabilities) = capabilities else { unreachable!() };
        let url = format!("http://127.0.0.1:{port}");
        let mut builder = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new());
        let connect = builder.capabilities(capabilities).connect(&url);
        let client = within_time(BROWSER_PATIENCE, "Chromium", connect).await.unwrap();
        Self { client, _driver: driver, place }
    }

    /// The directory of everything that it writes.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.place.0.path()
    }

    /// Opens a page and waits until it is loaded.
    pub async fn open(&self, url: &str) {
        within_time(BROWSER_PATIENCE, "a page", self.client.goto(url)).await.unwrap();
    }

    /// Loads the page again.
    pub async fn reload(&self) {
        within_time(BROWSER_PATIENCE, "a page", self.client.refresh()).await.unwrap();
    }

    /// What `script`, the body of a function, returns on the page.
    pub async fn run(&self, script: &str) -> Value {
        within_time(BROWSER_PATIENCE, "a script", self.client.execute(script, vec![])).await.unwrap()
    }

    /// Waits until `script` returns something that is true to JavaScript, and returns it.
    pub async fn eventually(&self, what: &str, script: &str) -> Value {
        eventually(what, async || {
            let value = self.run(script).await;
            let falsy = matches!(&value, Value::Null | Value::Bool(false)) || value == "" || value == 0;
            (!falsy).then_some(value)
        })
        .await
    }

    /// Taps what `selector` finds.
    pub async fn tap(&self, selector: &str) {
        let find = self.client.find(fantoccini::Locator::Css(selector));
        within_time(
            BROWSER_PATIENCE,
            "a tap",
            within_time(BROWSER_PATIENCE, "something to tap", find).await.unwrap().click(),
        )
        .await
        .unwrap();
    }
}

/// Starts chromedriver on a port of its choice. It takes the same number for IPv4 and IPv6, and ends where the second is
/// taken by somebody else; so it is started until it has found one.
async fn driver(place: &Place) -> (Child, String) {
    for _ in 0..DRIVER_STARTS {
        let mut driver = Child::start("chromedriver", |command| {
            command.arg("--port=0").env("TMPDIR", place.part("tmp")).env("HOME", place.part("home"));
            command.stdout(Stdio::piped()).stderr(Stdio::null());
        });
        let output = BufReader::new(driver.process().stdout.take().unwrap());
        let port = tokio::task::spawn_blocking(move || {
            let mut lines = output.lines().map_while(Result::ok);
            let port = lines
                .find_map(|line| Some(line.split_once(DRIVER_LISTENS)?.1.trim_end_matches('.').to_owned()));
            // The driver must never write into a closed pipe.
            std::thread::spawn(move || lines.for_each(drop));
            port
        });
        if let Some(port) = within_time(BROWSER_PATIENCE, "chromedriver", port).await.unwrap() {
            return (driver, port);
        }
    }
    panic!("chromedriver ended {DRIVER_STARTS} times without naming its port")
}

impl Chromium {
    /// Waits until the login element is in `state`.
    pub async fn login_is(&self, state: &str) {
        let script =
            format!("return document.querySelector('scan-login')?.getAttribute('state') === '{state}'");
        self.eventually(&format!("the login to be {state}"), &script).await;
    }

    /// The text inside the QR code that the page shows.
    pub async fn qr_code(&self) -> String {
        let content =
            self.eventually("a QR code", "return document.querySelector('scan-login')?.content").await;
        content.as_str().unwrap().to_owned()
    }

    /// All text that a person sees, the element's included.
    pub async fn text(&self) -> String {
        let script = "return document.body.innerText + '\\n' + \
                      (document.querySelector('scan-login')?.shadowRoot.querySelector('[part=body]')?.innerText ?? '')";
        self.run(script).await.as_str().unwrap().to_owned()
    }
}
