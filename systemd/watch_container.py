"""Run a service's container in the foreground and tell systemd whether it lives.

    watch_container.py HOST PORT COMMAND...

COMMAND is `docker run ...`, attached; PORT on HOST is where its service answers, by HTTPS unless
MAMMOSONO_TLS is off, as the service itself reads that. The watcher sends
READY=1 once `/healthz` is answered 200 and WATCHDOG=1 each time it is again; the text that
`systemctl status` shows comes from `/readyz`. A service that is alive but cannot read, because its
engines are not built or its disk is full, is not restarted: that would not help.

The container cannot do this itself: its processes are in docker's control group, not in the unit's,
and systemd does not take their messages. A shell with systemd-notify cannot either: that process is
gone before systemd asks which unit it belonged to, unless it may forge its sender, for which the
unit has no capability. This process is the unit's main process and speaks for itself.

Runs under the system's Python, 3.6 on Ubuntu 18.04, and needs nothing else.
"""

import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys

ANSWER_S = 5.0
"""For one request; also the longest that a signal waits to be passed on."""

STARTING_S = 1.0
"""Between requests until the first is answered."""

MAX_BODY_BYTES = 64 * 1024

CERTIFICATE_ASKED = -1
"""Status of an answer that the watcher cannot get."""

AWAITED = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT}


def main(host, port, command):
    """Run `command` until it ends, and return its exit status as a shell would tell it."""
    pause_s = int(os.environ.get("WATCHDOG_USEC", 60000000)) / 1e6 / 4
    child = subprocess.Popen(command)
    # After the start: the child must not inherit it. From here on no signal is lost, only late.
    signal.pthread_sigmask(signal.SIG_BLOCK, AWAITED)
    ready = False
    while child.poll() is None:
        came = signal.sigtimedwait(AWAITED, pause_s if ready else STARTING_S)
        if came is None:
            alive, text = look(host, port)
            ready = ready or alive
            notify(*(["READY=1", "WATCHDOG=1"] if alive else []), "STATUS=" + text)
        elif came.si_signo != signal.SIGCHLD:
            child.send_signal(came.si_signo)
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def look(host, port):
    """Whether the service lives, and one line on how it does."""
    status, body = get(host, port, "/healthz")
    if status == CERTIFICATE_ASKED:
        return True, "alive; a client certificate is asked for, so whether it is ready is not known"
    if status != 200:
        return False, "/healthz: %s" % (status or body)
    status, body = get(host, port, "/readyz")
    return True, "ready" if status == 200 else "not ready: " + reason(status, body)


def get(host, port, path):
    """Status and body of the answer; status 0, and why, if there is none."""
    connection = connect(host, int(port))
    try:
        connection.connect()
        # Who is refused may be so before all is sent; the answer that says so is there to be read.
        with contextlib.suppress(ssl.SSLEOFError, ConnectionError):
            connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read(MAX_BODY_BYTES).decode("utf-8", "replace")
    except ssl.SSLError as error:
        # An alert is an answer: a service that asks its clients for a certificate lives. Python 3.6
        # has the newer alerts' names in the text alone.
        return CERTIFICATE_ASKED if "alert" in str(error).lower() else 0, str(error)
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error) or type(error).__name__
    finally:
        connection.close()


def connect(host, port):
    """To the service on this machine: whose certificate it is need not be asked, and nothing secret
    is sent. Connecting to 0.0.0.0, the address of a service open to the network, reaches it too.
    """
    if os.environ.get("MAMMOSONO_TLS") == "off":
        return http.client.HTTPConnection(host, port, timeout=ANSWER_S)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(host, port, timeout=ANSWER_S, context=context)


def reason(status, body):
    """One line of an answer that is not 200: `detail` of an RFC 9457 document if it is one."""
    try:
        text = str(json.loads(body)["detail"])
    except (ValueError, KeyError, TypeError):
        text = "/readyz: %s" % (status or body)
    # A line end would begin another field of the message to systemd.
    return " ".join(text.split())


def notify(*fields):
    """Send the fields to systemd, as sd_notify(3) does; nothing where no systemd listens."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    # A systemd that cannot be notified restarts the unit; that is not for the watcher to do.
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender, contextlib.suppress(OSError):
        sender.sendto("\n".join(fields).encode(), address)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
