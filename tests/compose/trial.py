"""What must hold of the Compose deployment, in the order in which it is tried. Any failure ends the trial; what it made
is taken away in either case, and that nothing is left is a part of it.
"""

import hashlib
import json
import os
import re
import secrets
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlencode

sys.path.insert(0, str(Path(__file__).parent))
from login import Login, ask
from stack import Stack, docker
from webdriver import Chromium

PAGE = int(os.environ.get("HTTP_PORT", "8080"))
SIMULATOR = int(os.environ.get("SIMULATOR_PORT", "8082"))
IMAGE = "scan-login-trial"
PROJECT = f"scan-login-trial-{os.getpid()}"
REDEEM = secrets.token_hex(16)
SETTINGS = {
    "HTTP_PORT": str(PAGE),
    "SIMULATOR_PORT": str(SIMULATOR),
    "SCAN_LOGIN_IMAGE": IMAGE,
    "REDEEM_SECRET": REDEEM,
}
PROGRAMS = ["gateway", "callback", "simulator", "standalone", "doctor"]
# Where a container listens and what it is called is not for .env to say; the rest is a part of words in the help.
NOT_PASSED = {
    "ADMIN_LISTEN", "GATEWAY_LISTEN", "CALLBACK_LISTEN", "SIMULATOR_LISTEN", "REPLICA_ID", "NAME_FILE",
    # Only with a real account.
    "WECHAT_ORIGINAL_ID",
    # Others that are passed on say the same of traces, and gateway and callback are to have names of their own.
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_SERVICE_NAME",
}
INVENTED = "203.0.113.7"
BROWSERS = 12
# Above it a part of four gateways could be missed by chance only, once in a billion.
PAGES = 80


def step(what):
    print(f"  {what}", flush=True)


def until(what, condition, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.2)
    raise AssertionError(f"waited {seconds} s for {what}")


def is_healthy(container):
    return docker("inspect", "--format", "{{.State.Health.Status}}", container).stdout.strip() == "healthy"


def image_is_confined():
    user, size = docker("image", "inspect", "--format", "{{.Config.User}} {{.Size}}", IMAGE).stdout.split()
    assert user == "65532:65532" and int(size) < 100_000_000, (user, size)
    labels = json.loads(docker("image", "inspect", "--format", "{{json .Config.Labels}}", IMAGE).stdout)
    version = re.search(r'^version = "(.+)"$', Path("Cargo.toml").read_text(), re.MULTILINE)[1]
    assert labels["org.opencontainers.image.version"] == version, (labels, version)
    assert "org.opencontainers.image.licenses" in labels, labels
    for program in PROGRAMS:
        docker("run", "--rm", "--read-only", "--network", "none", IMAGE, program, "--version")
    assert docker("run", "--rm", IMAGE, "sh", "-c", "true", check=False).returncode == 127, "there is a shell"
    step(f"the image has every program and no shell, runs as 65532, {int(size) / 1e6:.0f} MB")


def settings_are_the_programs_own(stack):
    """Compose passes on what the programs know, and all of it but what makes no sense there."""
    for files in ["docker-compose.yml"], ["docker-compose.yml", "docker-compose.account.yml"]:
        named = [argument for file in files for argument in ("--file", file)]
        names = ("APP_ID", "APP_SECRET_FILE", "TOKEN_FILE", "ENCODING_AES_KEY_FILE")
        required = {f"WECHAT_{name}": "x" for name in names}
        told = Stack(PROJECT, {**SETTINGS, **required}).compose(*named, "--profile", "*", "config", "--format", "json")
        services = json.loads(told.stdout)["services"]
        for program in ["gateway", "callback", "simulator", "doctor"]:
            known = docker("run", "--rm", IMAGE, program, "--help").stdout
            for other in ("gateway", "callback") if program == "doctor" else ():  # It takes what those two take.
                known += docker("run", "--rm", IMAGE, other, "--help").stdout
            known = set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", known))
            passed = {name.removesuffix("_FILE") for name in services[program]["environment"]}
            assert passed <= known, (program, passed - known)
            lacking = known - passed - NOT_PASSED
            assert program == "doctor" or not lacking, (program, lacking)
    step("every setting that is passed on is one of the programs', and none is missing")


def standalone_becomes_healthy():
    confined = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    name = f"{PROJECT}-standalone"
    docker("run", "-d", "--name", name, *confined, "--env", "SIMULATOR=on", IMAGE)
    try:
        until("standalone to be healthy", lambda: is_healthy(name))
    finally:
        docker("rm", "-f", name)
    step("standalone, the image's default, becomes healthy on a read-only file system")


def one_person_logs_in(stack, browser):
    login = Login(browser, PAGE, SIMULATOR, REDEEM)
    login.scan()
    login.succeeds()
    step(f"a login in Chromium through nginx on port {PAGE}")


def doctor_finds_nothing_wrong(stack):
    told = stack.compose("run", "--rm", "doctor", check=False)
    assert told.returncode == 0, told.stdout + told.stderr
    step(f"the doctor: {told.stdout.strip().splitlines()[-1]}")


def client_is_who_came(stack):
    """A forged call, through a proxy that it claims to come through: the log names the client."""
    query = urlencode({"signature": "0" * 40, "timestamp": int(time.time()), "nonce": "1", "echostr": "1"})
    status, _ = ask(PAGE, "GET", f"/wechat/callback?{query}", headers={"X-Forwarded-For": INVENTED})
    assert status == 403, status
    refused = lambda: re.search(r'.*"refused a call".*', stack.compose("logs", "callback").stdout)
    line = until("the refusal in the log", refused)[0]
    client = re.search(r'"client":"([^"]+)"', line)[1]
    assert client not in {INVENTED, *stack.containers("nginx").values()}, line
    step(f"the replicas see who came ({client}), neither nginx nor what a client wrote into X-Forwarded-For")


def gateways_share(stack, browser):
    logins = [Login(browser, PAGE, SIMULATOR, REDEEM) for _ in range(BROWSERS)]
    shares = stack.browsers()
    assert len(shares) == 2 and all(shares.values()) and sum(shares.values()) >= BROWSERS, shares
    step(f"two gateways share {BROWSERS} browsers: {' and '.join(map(str, shares.values()))}")
    return logins


def nothing_is_lost(stack, logins):
    """Half of the people have scanned, and what the platform pushes of them is under way in the callbacks, which wait for
    a Redis that does not answer. At this moment a gateway and a callback die."""
    scanned, waiting = logins[: BROWSERS // 2], logins[BROWSERS // 2 :]
    shares = stack.browsers()
    gateway = max(shares, key=shares.get)
    callback = next(iter(stack.containers("callback")))
    redis = next(iter(stack.containers("redis")))
    with ThreadPoolExecutor(BROWSERS) as people:
        ask(SIMULATOR, "POST", "/simulator/faults", {"hold_pushes": True})
        scans = [people.submit(login.scan) for login in scanned]
        docker("pause", redis)
        try:
            ask(SIMULATOR, "POST", "/simulator/faults", {"hold_pushes": False})
            docker("kill", "--signal", "KILL", gateway, callback)
        finally:
            docker("unpause", redis)
        for scan in scans:
            scan.result()
    for login in scanned:
        login.succeeds()
    step(f"{gateway} with {shares[gateway]} browsers and {callback} killed during {len(scanned)} logins: all arrived")
    for login in waiting:
        login.scan()
        login.succeeds()
    step(f"the {len(waiting)} that had waited log in afterwards, through those that are left")


def added_gateways_get_their_share(stack):
    # It was paused, which its health check did not like.
    until("Redis to be healthy", lambda: all(map(is_healthy, stack.containers("redis"))))
    stack.compose("up", "--detach", "--wait")
    before = stack.containers("gateway")
    stack.compose("up", "--detach", "--wait", "--scale", "gateway=4")
    gateways = stack.containers("gateway")
    assert len(gateways) == 4 and before.items() <= gateways.items(), (before, gateways)

    def all_are_asked():
        for _ in range(PAGES):
            assert ask(PAGE, "GET", "/")[0] == 200
        lines = stack.compose("logs", "--no-log-prefix", "--tail", str(PAGES), "nginx").stdout
        return all(f'"{address}:8080"' in lines for address in gateways.values())

    until("every gateway to be asked", all_are_asked)
    step("--scale gateway=4: the four share what comes, the first two were left alone")


def logs_name_no_one(stack, logins):
    told = stack.compose("logs", "--no-color").stdout
    assert "nginx" in told and "gateway" in told and "callback" in told, told
    unwanted = [text for login in logins for text in (login.openid, login.content)]
    for text in ["signature=", REDEEM, *unwanted]:
        assert text not in told, next(line for line in told.splitlines() if text in line)
    step("no container's log has an openid, a QR code's text, a query or a secret")


def account_names_what_is_missing(place):
    files = {
        "WECHAT_APP_SECRET_FILE": ("wechat-app-secret", secrets.token_hex(16)),
        "WECHAT_TOKEN_FILE": ("wechat-token", secrets.token_hex(8)),
        "WECHAT_ENCODING_AES_KEY_FILE": ("wechat-encoding-aes-key", secrets.token_hex(22)[:43]),
        "REDEEM_SECRET_FILE": ("redeem-secret", secrets.token_hex(16)),
    }
    settings = {
        **SETTINGS,
        "COMPOSE_FILE": "docker-compose.yml:docker-compose.account.yml",
        "WECHAT_APP_ID": "wx0123456789abcdef",
        # Nobody's: the trial asks the real platform nothing.
        "WECHAT_API_BASE": "https://platform.invalid",
    }
    for name, (file, value) in files.items():
        path = Path(place, file)
        path.write_text(value)
        path.chmod(0o644)
        settings[name] = str(path)
    for name in ["WECHAT_APP_ID", "WECHAT_APP_SECRET_FILE", "WECHAT_TOKEN_FILE", "WECHAT_ENCODING_AES_KEY_FILE"]:
        for lacking in [{**settings, name: ""}, {key: value for key, value in settings.items() if key != name}]:
            told = Stack(PROJECT, lacking).compose("up", "--detach", check=False)
            assert told.returncode != 0 and name in told.stderr and "see .env.example" in told.stderr, (name, told)
    stack = Stack(PROJECT, settings)
    assert not stack.leftovers(), "it started something, although a setting was missing"
    step("a real account: each missing setting is named before anything starts")
    return stack, {name: value for name, (_, value) in files.items()}


def account_starts(stack, values, place):
    stack.compose("up", "--detach", "--wait")
    assert not stack.containers("simulator") and len(stack.containers("gateway")) == 2
    token = values["WECHAT_TOKEN_FILE"]
    timestamp, nonce, echo = str(int(time.time())), secrets.token_hex(5), "echo" + secrets.token_hex(10)
    signature = hashlib.sha1("".join(sorted([token, timestamp, nonce])).encode()).hexdigest()
    query = urlencode({"signature": signature, "timestamp": timestamp, "nonce": nonce, "echostr": echo})
    assert ask(PAGE, "GET", f"/wechat/callback?{query}") == (200, echo)
    redeem = {"Authorization": f"Bearer {values['REDEEM_SECRET_FILE']}"}
    status, _ = ask(PAGE, "POST", "/api/redeem", {"code": "nobody's"}, redeem)
    assert status in (400, 410), status
    names = [*stack.containers("gateway"), *stack.containers("callback")]
    inspected = docker("inspect", *names).stdout
    assert not [name for name, value in values.items() if value in inspected], "inspect shows a secret"
    step("a real account: it starts without the simulator, its secrets work, and docker inspect does not show them")
    Path(place, "wechat-token").write_text("")
    told = stack.compose("run", "--rm", "--no-deps", "callback", check=False)
    assert told.returncode == 2 and "WECHAT_TOKEN is missing" in told.stderr, told
    step(f"a secret's file that is empty: exit code 2, {told.stderr.strip().splitlines()[-1]}")


def nothing_is_left(stack):
    stack.compose("down", "--volumes")
    assert not stack.leftovers(), stack.leftovers()
    step("docker compose down -v leaves nothing")


def trial(place):
    stack = Stack(PROJECT, SETTINGS)
    begun = time.monotonic()
    stack.compose("build")
    built = time.monotonic()
    stack.compose("up", "--build", "--detach", "--wait")
    ready = time.monotonic()
    step(f"built in {built - begun:.0f} s; ready {ready - built:.0f} s after docker compose up --build --wait")
    image_is_confined()
    settings_are_the_programs_own(stack)
    standalone_becomes_healthy()
    with Chromium() as browser:
        one_person_logs_in(stack, browser)
        client_is_who_came(stack)
        doctor_finds_nothing_wrong(stack)
        logins = gateways_share(stack, browser)
        nothing_is_lost(stack, logins)
        added_gateways_get_their_share(stack)
        logs_name_no_one(stack, logins)
    nothing_is_left(stack)
    stack, values = account_names_what_is_missing(place)
    account_starts(stack, values, place)
    nothing_is_left(stack)


if __name__ == "__main__":
    stack = Stack(PROJECT, SETTINGS)
    try:
        with tempfile.TemporaryDirectory() as place:
            trial(place)
    except AssertionError as error:
        logs = stack.compose("logs", "--no-color", "--tail", "20", check=False).stdout
        print(f"FAILED: {error}\n{logs}", file=sys.stderr)
        sys.exit(1)
    finally:
        stack.compose("down", "--volumes", "--remove-orphans", check=False)
        docker("image", "rm", IMAGE, check=False)
