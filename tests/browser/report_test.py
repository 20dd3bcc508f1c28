#!/usr/bin/env python3
"""report.html in headless Chromium: real reports, in both colour schemes, wide, on a phone, without scripts and on paper.

Nothing on the console, no request leaves the page, nothing scrolls sideways, and pointer and keyboard do what the page says. GIBBSITE is the
program. Exit code 77, with a line that says so, where Chromium or its driver is missing; GIBBSITE_BROWSER=required makes that a failure.
Screenshots go to $GIBBSITE_TEST_PICTURES where that is set.
"""
import base64
import http.server
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

root = pathlib.Path(__file__).resolve().parents[2]
gibbsite = os.environ.get("GIBBSITE", str(root / "build/release/gibbsite"))
chromium = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
driver = shutil.which("chromedriver")
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
failures = []


def expect(condition, what):
    print(f"{'ok     ' if condition else 'FAILED '} {what}", flush=True)
    if not condition:
        failures.append(what)


class Browser:
    """A session of the WebDriver protocol with a profile of its own."""

    def __init__(self, folder):
        self.net_log = folder / "net-log.json"
        self.process = subprocess.Popen([driver, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        port = None
        while port is None:
            line = self.process.stdout.readline()
            if not line:
                raise RuntimeError("chromedriver does not start")
            found = re.search(r"started successfully on port (\d+)", line)
            port = found and int(found.group(1))
        self.url = f"http://127.0.0.1:{port}/session"
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
                 "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--disable-default-apps", "--disable-dev-shm-usage", "--no-pings",
                 f"--user-data-dir={folder / 'profile'}", f"--log-net-log={self.net_log}", "--net-log-capture-mode=Everything"]
        options = {"binary": chromium, "args": flags}
        session = self.call("POST", "", {"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}}})
        self.url += "/" + session["sessionId"]

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(error.read().decode()[:500]) from None

    def cdp(self, command, **parameters):
        return self.call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def js(self, script, *arguments):
        return self.call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def find(self, css):
        return self.call("POST", "/element", {"using": "css selector", "value": css})[ELEMENT]

    def keys(self, css, text):
        self.call("POST", f"/element/{self.find(css)}/value", {"text": text})

    def click(self, css):
        self.js("document.querySelector(arguments[0]).scrollIntoView({block: 'center', behavior: 'instant'})", css)
        self.call("POST", f"/element/{self.find(css)}/click", {})

    def pointer(self, *steps):
        """Steps ("move", x, y), ("down",), ("up",) of the mouse, in pixels of the window."""
        actions = []
        for step in steps:
            if step[0] == "move":
                actions.append({"type": "pointerMove", "duration": 20, "x": round(step[1]), "y": round(step[2])})
            else:
                actions.append({"type": "pointer" + step[0].capitalize(), "button": 0})
        self.call("POST", "/actions", {"actions": [{"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"},
                                                    "actions": actions}]})

    def console(self):
        return [entry["message"] for entry in self.call("POST", "/se/log", {"type": "browser"})]

    def show(self, page, scheme="light", width=1280, height=900, scripts=True):
        self.cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        self.cdp("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.call("POST", "/url", {"url": page.as_uri()})

    def picture(self, name, whole=True):
        folder = os.environ.get("GIBBSITE_TEST_PICTURES")
        if folder:
            made = self.cdp("Page.captureScreenshot", captureBeyondViewport=whole)
            pathlib.Path(folder, name + ".png").write_bytes(base64.b64decode(made["data"]))

    def close(self):
        try:
            self.call("DELETE", "")
        finally:
            self.process.terminate()
            self.process.wait()


def run(*arguments):
    subprocess.run([gibbsite, *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def make_pages(work):
    """A training run with chains and samples, and reproductions with curves, maps and published numbers; none needs data."""
    run("train", str(root / "recipes/smoke/ssm.toml"), "--out", str(work / "run"), "--seed", "1", "--set", "train.steps=150",
        "--set", "train.log_every=2", "--set", "train.batch_size=128", "--set", "data.train=2000", "--set", "data.validation=200",
        "--set", "data.test=500", "--set", "model.hidden=[32,32]")
    run("sample", str(work / "run"), "-n", "2000", "--set", "sample.burn_in=100", "--set", "sample.steps=1", "--out", str(work / "run/samples/points.npy"))
    run("evaluate", str(work / "run"), "--metric", "chains", "--set", "sample.burn_in=50", "--set", "sample.steps=400")
    run("report", str(work / "run"))
    for name, experiment in [("density", "smoke/ssm"), ("curves", "mvl/bias-variance"), ("circle", "mvl/circle"),
                             ("published", "vaebm/25-gaussians")]:
        run("reproduce", experiment, "--scale", "smoke", "--out", str(work / name))
    names = ["run", "density", "curves", "circle", "published"]
    return {name: work / name / "report.html" for name in names}


tick_texts = "return [...document.querySelectorAll('.chart')].map(c => [...c.querySelectorAll('.grid text')].map(t => t.textContent).join(' '))"
chart_box = """const c = document.querySelectorAll('.chart')[arguments[0]]; c.scrollIntoView({block: 'center', behavior: 'instant'});
const b = c.querySelector('.inner').getBoundingClientRect(); const f = c.querySelector('.axis').getBoundingClientRect();
return [f.left, f.top, f.width, f.height]"""
tip = "return document.querySelectorAll('.chart')[arguments[0]].querySelector('.tip').innerText"
view_box = "return document.querySelectorAll('.chart')[arguments[0]].querySelector('.inner').getAttribute('viewBox')"


def looks(browser, name, page):
    """Every page in every shape."""
    backgrounds = {}
    for scheme in ["light", "dark"]:
        for width in [1280, 390]:
            browser.show(page, scheme, width)
            time.sleep(0.2)
            expect(browser.js("return document.documentElement.scrollWidth <= window.innerWidth"),
                   f"{name}, {scheme}, {width}: nothing scrolls sideways")
            overlap = browser.js("""return [...document.querySelectorAll('.chart > svg')].filter(s => {
                const b = s.getBoundingClientRect(); return b.width < 150 || b.height < 100 || b.right > window.innerWidth + 1}).length""")
            expect(overlap == 0, f"{name}, {scheme}, {width}: charts fit")
            backgrounds[scheme] = browser.js("return getComputedStyle(document.body).backgroundColor")
            browser.picture(f"{name}-{scheme}-{width}")
    expect(backgrounds["light"] == "rgb(255, 255, 255)" and backgrounds["dark"] != backgrounds["light"], f"{name}: two schemes")
    browser.show(page)
    live = browser.js(tick_texts)
    browser.show(page, scripts=False)
    browser.picture(f"{name}-without-scripts")
    still = browser.cdp("Runtime.evaluate", expression=f"(() => {{ {tick_texts} }})()", returnByValue=True)["result"]["value"]
    expect(len(live) == len(still) and len(still) > 0, f"{name}: the same charts without scripts")
    return list(zip(live, still))


def pointer_and_keys(browser, pages):
    browser.show(pages["curves"])
    data = browser.js("return JSON.parse(document.getElementById('data').textContent)")
    count = browser.js("return document.querySelectorAll('.chart').length")
    index = next(i for i, plot in enumerate(data["plots"]) if plot["kind"] == "curves")
    plot = data["plots"][index]
    places = sorted({x for curve in plot["curves"] for x in curve["x"]})
    left, top, width, height = browser.js(chart_box, index)
    whole = browser.js(view_box, index)
    browser.pointer(("move", left + width * 0.01, top + height / 2))
    text = browser.js(tip, index)
    expect(f"{plot['x_label']} {places[0]:g}\n" in text and all(curve["label"] in text for curve in plot["curves"]),
           f"the pointer reads all curves at the first place: {text!r}")
    value = float(re.search(re.escape(plot["curves"][0]["label"]) + r" ([0-9.e-]+)", text).group(1))
    expect(abs(value - plot["curves"][0]["y"][0]) < 1e-4 * value, "the value under the pointer is that of the data")
    browser.picture("hover", whole=False)
    browser.pointer(("move", left + width * 0.2, top + height * 0.2), ("down",), ("move", left + width * 0.6, top + height * 0.7), ("up",))
    box = [float(x) for x in browser.js(view_box, index).split()]
    expect(abs(box[0] - 200) < 15 and abs(box[2] - 400) < 20 and abs(box[1] - 200) < 15 and abs(box[3] - 500) < 20,
           f"a dragged box is what is shown then: {box}")
    browser.picture("zoomed", whole=False)
    css = f".chart[data-plot='{index}'] > svg"
    browser.keys(css, "0")
    expect(browser.js(view_box, index) == whole, "0 shows all")
    browser.keys(css, "+")
    expect(abs(float(browser.js(view_box, index).split()[2]) - 500) < 1, "+ zooms")
    browser.keys(css, "0")
    browser.pointer(("move", 2, 2))
    seen = []
    for _ in places:
        browser.keys(css, "\ue014")  # arrow to the right
        seen.append(browser.js(tip, index).split("\n")[0])
    expect(seen == [f"{plot['x_label']} {x:g}" for x in places], f"arrow keys step through points: {seen}")
    key = f".chart[data-plot='{index}'] ~ .keys .key"
    browser.click(key)
    hidden = browser.js("return getComputedStyle(document.querySelectorAll('.chart')[arguments[0]].querySelector('.series')).display", index)
    expect(hidden == "none" and browser.js("return document.querySelector(arguments[0]).getAttribute('aria-pressed')", key) == "false",
           "a key hides its curve")
    browser.click("thead th:nth-child(1) button")
    first = browser.js("return [...document.querySelectorAll('tbody tr')].map(r => r.cells[0].textContent)")
    method_rows = first[: browser.js("return document.querySelector('tbody').rows.length")]
    expect(method_rows == sorted(method_rows), "a click on a head sorts")
    browser.keys(".filter", "jet")
    shown = browser.js("return [...document.querySelector('.filter + .wide tbody').rows].filter(r => !r.hidden).map(r => r.textContent)")
    expect(0 < len(shown) < len(first) and all("jet" in row for row in shown), "the filter leaves rows that match")
    before = browser.js("return getComputedStyle(document.body).backgroundColor")
    browser.click(".theme")
    expect(browser.js("return getComputedStyle(document.body).backgroundColor") != before, "the button changes the scheme")
    stops = browser.js("""return [...document.querySelectorAll('a[href], button, input, svg[tabindex], .wide')]
        .filter(e => e.tabIndex < 0 || e.disabled).length""")
    expect(stops == 0 and count > 0, "everything alive can be reached by the tab key")

    browser.show(pages["density"])
    left, top, width, height = browser.js(chart_box, 0)
    panel = browser.js("return JSON.parse(document.getElementById('data').textContent).plots[0].panels[0]")
    rows = len(panel["values"])
    browser.pointer(("move", left + 0.3 * width, top + 0.6 * height))
    text = browser.js(tip, 0)
    row, column = int(0.4 * rows), int(0.3 * rows)
    near = [panel["values"][r][c] for r in range(row - 2, row + 3) for c in range(column - 2, column + 3)]
    value = float(re.search(r"density ([0-9.e-]+)", text).group(1))
    expect(min(abs(value - x) for x in near) <= 1e-3 * max(near), f"a map says the density under the pointer: {text!r}")
    browser.picture("map-hover", whole=False)

    browser.show(pages["run"])
    titles = browser.js("return [...document.querySelectorAll('figcaption')].map(f => f.textContent)")
    expect(any("trace of" in title for title in titles) and "loss" in titles, f"a run shows its losses and traces: {titles}")
    browser.show(pages["published"])
    expect("Beside published numbers" in browser.js("return document.body.innerText"), "published numbers have a table of their own")


def paper(browser, page):
    browser.show(page, "dark")
    pdf = base64.b64decode(browser.cdp("Page.printToPDF", printBackground=True)["data"])
    expect(pdf.startswith(b"%PDF") and len(pdf) > 10000, "the page prints")
    browser.cdp("Emulation.setEmulatedMedia", media="print", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    expect(browser.js("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)", "paper is white")
    browser.picture("paper")
    browser.cdp("Emulation.setEmulatedMedia", media="")


def policy(browser, page):
    """What the page's own policy forbids does not happen, even if something in the page tried."""
    asked = []

    class Sink(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    browser.show(page)
    browser.js("""const url = 'http://127.0.0.1:' + arguments[0] + '/';
        fetch(url + 'fetch').catch(() => {}); new Image().src = url + 'image'; window.ran = false;
        const s = document.createElement('script'); s.textContent = 'window.ran = true'; document.body.append(s);
        const l = document.createElement('link'); l.rel = 'stylesheet'; l.href = url + 'style'; document.head.append(l);
        const f = document.createElement('iframe'); f.src = url + 'frame'; document.body.append(f);""", server.server_port)
    time.sleep(0.5)
    expect(asked == [] and browser.js("return window.ran") is False, f"the policy stops requests and foreign scripts {asked}")
    expect(any("Content Security Policy" in line for line in browser.console()), "and the console says so")
    # A page without the policy, to see that requests are seen where they happen.
    control = page.with_name("control.html")
    control.write_text(f"<!doctype html><img src='http://127.0.0.1:{server.server_port}/control'>")
    browser.show(control)
    time.sleep(0.3)
    expect(asked == ["/control"], "a page without the policy does ask")
    server.shutdown()
    return f"http://127.0.0.1:{server.server_port}/control"


def requests_of(net_log):
    text = net_log.read_text()
    try:
        log = json.loads(text)
    except json.JSONDecodeError:  # cut off at the end
        log = json.loads(text.rstrip().rstrip(",") + "]}")
    found = set()
    for event in log["events"]:
        parameters = event.get("params")
        # The browser's own errands have no initiator; what a page asks for has the page's origin, "null" for a file.
        if isinstance(parameters, dict) and parameters.get("initiator", "not an origin") != "not an origin":
            if re.match(r"(https?|wss?|ftp):", str(parameters.get("url"))):
                found.add(parameters["url"])
    return sorted(found)


def main():
    if chromium is None or driver is None:
        print("left out: chromium and chromedriver are not installed (packages chromium, chromium-driver)")
        sys.exit(1 if os.environ.get("GIBBSITE_BROWSER") == "required" else 77)
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        pages = make_pages(work)
        browser = Browser(work)
        try:
            for name, page in pages.items():
                for live, still in looks(browser, name, page):
                    if len(live.split()) == len(still.split()):
                        expect(live == still, f"{name}: ticks by the script are those of the program: {still}")
            pointer_and_keys(browser, pages)
            paper(browser, pages["run"])
            console = browser.console()
            expect(console == [], f"nothing on the console {console[:3]}")
            control = policy(browser, pages["curves"])
        finally:
            browser.close()
        asked = requests_of(browser.net_log)
        expect(asked == [control], f"no request left the pages but that of the control {asked[:5]}")
    print(f"{len(failures)} failures")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
