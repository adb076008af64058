"""The deployment under trial: a Compose project of its own, with none of the caller's settings."""

import json
import os
import subprocess

# What a command of the engine needs of the environment; everything else could be a setting.
KEPT = ("PATH", "HOME", "TMPDIR", "DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CONTEXT", "DOCKER_CERT_PATH")


def docker(*arguments, check=True, environment=None):
    """Runs a docker command; its output, standard error included where it failed."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    done = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, timeout=3600, env={**kept, **(environment or {})}
    )
    if check and done.returncode != 0:
        raise AssertionError(f"docker {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done


class Stack:
    """A project. What it leaves behind is the trial's business."""

    def __init__(self, project, settings):
        self.project, self.settings = project, {**settings, "COMPOSE_PROJECT_NAME": project}

    def compose(self, *arguments, check=True):
        return docker("compose", "--progress=quiet", *arguments, check=check, environment=self.settings)

    def containers(self, service):
        """The running containers of a service, in the order of their numbers, with their addresses."""
        own = ["--filter", f"label=com.docker.compose.project={self.project}"]
        own += ["--filter", f"label=com.docker.compose.service={service}", "--filter", "status=running"]
        names = sorted(docker("ps", "--format", "{{.Names}}", *own).stdout.split())
        inspected = json.loads(docker("inspect", *names).stdout) if names else []
        network = f"{self.project}_default"
        return {
            container["Name"].lstrip("/"): container["NetworkSettings"]["Networks"].get(network, {}).get("IPAddress")
            for container in inspected
        }

    def browsers(self):
        """How many connections nginx has open to each gateway."""
        table = self.compose("exec", "-T", "nginx", "cat", "/proc/net/tcp").stdout.splitlines()[1:]
        remote = [line.split()[2] for line in table if line.split()[3] == "01"]
        gateways = self.containers("gateway").items()
        return {name: remote.count(f"{as_in_proc(address)}:1F90") for name, address in gateways}

    def leftovers(self):
        """Whatever the engine still has of the project."""
        own = ["--filter", f"label=com.docker.compose.project={self.project}"]
        kinds = [["ps", "-aq"], ["volume", "ls", "-q"], ["network", "ls", "-q"]]
        return [name for kind in kinds for name in docker(*kind, *own).stdout.split()]


def as_in_proc(address):
    """An IPv4 address as /proc/net/tcp has it: hexadecimal, backwards."""
    return "".join(f"{int(part):02X}" for part in reversed(address.split(".")))
