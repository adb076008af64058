"""A person's browser: headless Chromium with any number of tabs, driven through WebDriver."""

import http.client
import json
import subprocess
import tempfile
import time

LISTENS = "started successfully on port "
PATIENCE = 30
ARGUMENTS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run", "--remote-debugging-pipe",
    # Tabs that nobody looks at go on as if somebody did.
    "--disable-background-timer-throttling", "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
]


class Chromium:
    """Ends, with the driver and all that it wrote, at the end of its `with`."""

    def __enter__(self):
        self.place = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        environment = {"HOME": self.place.name, "TMPDIR": self.place.name, "PATH": "/usr/bin:/bin:/usr/local/bin"}
        self.driver = subprocess.Popen(
            ["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, text=True
        )
        line = next(line for line in self.driver.stdout if LISTENS in line)
        self.port = int(line.split(LISTENS)[1].strip().rstrip("."))
        options = {"args": [*ARGUMENTS, f"--user-data-dir={self.place.name}/profile"]}
        capabilities = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}}
        self.session = ""
        self.session = "/session/" + self.ask("POST", "/session", capabilities)["sessionId"]
        return self

    def __exit__(self, *_):
        try:
            self.ask("DELETE", "")
        finally:
            self.driver.terminate()
            self.driver.wait(10)
            self.place.cleanup()

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, self.session + path, json.dumps(body) if body is not None else None)
        value = json.loads(connection.getresponse().read())["value"]
        connection.close()
        if isinstance(value, dict) and "error" in value:
            raise RuntimeError(f"{method} {path}: {value['error']}: {value['message'].splitlines()[0]}")
        return value

    def tab(self, url):
        """Opens a page in a tab of its own."""
        tab = Tab(self, self.ask("POST", "/window/new", {"type": "tab"})["handle"])
        tab.look()
        self.ask("POST", "/url", {"url": url})
        return tab


class Tab:
    """A page in a browser."""

    def __init__(self, browser, handle):
        self.browser, self.handle = browser, handle

    def look(self):
        self.browser.ask("POST", "/window", {"handle": self.handle})

    def run(self, script):
        """What the script, the body of a function, returns on the page."""
        self.look()
        return self.browser.ask("POST", "/execute/sync", {"script": script, "args": []})

    def eventually(self, what, script):
        """Waits until the script returns something true, and returns it."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if value := self.run(script):
                return value
            time.sleep(0.1)
        element = "return document.querySelector('scan-login')?.getAttribute('state')"
        raise AssertionError(f"waited {PATIENCE} s for {what}; the login is {self.run(element)}")
