// The pages work without this. With it they follow what happens (server-sent events), count down, and take keys.
// What is fetched anew is put in by regions, so that nothing typed, opened or focused is lost. No markup is made here.
"use strict";

(() => {
  const root = document.documentElement;
  const RETRY = [2000, 5000, 15000, 60000];
  const KEYS_OFF = "callgate-keys-off";
  root.dataset.script = "on";

  const announce = (text) => {
    const region = document.getElementById("announcement");
    if (region && text) {
      region.textContent = "";
      setTimeout(() => { region.textContent = text; }, 50);
    }
  };

  // The countdown. The server's clock counts: a page knows when it was made by it.
  let skew = Date.parse(root.dataset.now) - Date.now();

  const words = (seconds) => {
    if (seconds >= 172800) return `${Math.floor(seconds / 86400)} days`;
    const [hours, minutes, rest] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
    const two = (number) => String(number).padStart(2, "0");
    return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
  };

  const tick = () => {
    for (const time of document.querySelectorAll("[data-countdown]")) {
      const left = Math.ceil((Date.parse(time.dateTime) - Date.now() - skew) / 1000);
      time.textContent = left > 0 ? `${words(left)} left` : "expired";
      time.toggleAttribute("data-soon", left <= 120);
      if (left <= 0) expire(time);
    }
  };

  const expire = (time) => {
    const call = document.getElementById("call");
    if (!call || !call.contains(time) || call.dataset.over) return;
    call.dataset.over = "on";
    close("The time for a decision is over.");
    setTimeout(refresh, 1500);
  };

  const disable = (off) => {
    for (const fields of document.querySelectorAll("fieldset[data-open]")) fields.disabled = off;
  };

  const close = (why) => {
    disable(true);
    const notice = document.getElementById("closed");
    if (notice) {
      notice.textContent = why;
      notice.hidden = false;
    }
    announce(why);
  };

  // Regions: `data-live` names what is put in anew.
  const stripped = (element) => {
    const copy = element.cloneNode(true);
    for (const time of copy.querySelectorAll("[data-countdown]")) {
      time.textContent = "";
      time.removeAttribute("data-soon");
    }
    return copy.innerHTML;
  };

  const keyOf = (control) => {
    const form = control.form ? control.form.getAttribute("action") : "";
    const choice = control.type === "radio" || control.type === "checkbox" ? control.value : "";
    return [form, control.name, choice].join("\n");
  };

  const nameOf = (control) => {
    if (!control.form || !control.name) return control.getAttribute("href");
    return keyOf(control) + (control.type === "submit" ? control.value : "");
  };

  const isChanged = (control) => {
    if (control.type === "hidden") return false;
    if (control.type === "radio" || control.type === "checkbox") return control.checked !== control.defaultChecked;
    if (control.options) return [...control.options].some((one) => one.selected !== one.defaultSelected);
    return "defaultValue" in control && control.value !== control.defaultValue;
  };

  const remember = (region) => {
    const held = { typed: new Map(), opened: new Set(), focus: null, range: null };
    for (const control of region.querySelectorAll("input, textarea, select")) {
      if (isChanged(control)) held.typed.set(keyOf(control), [control.value, control.checked, control.type]);
    }
    for (const details of region.querySelectorAll("details[open][data-key]")) held.opened.add(details.dataset.key);
    const active = document.activeElement;
    if (active && region.contains(active)) {
      held.focus = nameOf(active);
      if (active.selectionStart !== undefined) held.range = [active.selectionStart, active.selectionEnd];
    }
    return held;
  };

  // What was typed into a form that is gone: shown, and put back where the form comes again.
  const orphans = new Map();

  const restore = (region, held) => {
    for (const [key, typed] of held.typed) orphans.set(key, typed);
    let focused = false;
    for (const control of region.querySelectorAll("input, textarea, select, button, a[href]")) {
      const key = control.form && control.name ? keyOf(control) : null;
      if (key !== null && orphans.has(key) && control.type !== "submit") {
        [control.value, control.checked] = orphans.get(key);
        orphans.delete(key);
      }
      if (!focused && held.focus !== null && nameOf(control) === held.focus) {
        control.focus({ preventScroll: true });
        if (held.range && control.setSelectionRange) control.setSelectionRange(...held.range);
        focused = true;
      }
    }
    for (const details of region.querySelectorAll("details[data-key]")) {
      if (held.opened.has(details.dataset.key)) details.open = true;
    }
    if (held.focus !== null && !focused) document.getElementById("main").focus({ preventScroll: true });
    const draft = document.getElementById("draft");
    if (!draft) return;
    const texts = [...orphans.values()].filter(([, , type]) => type.startsWith("text")).map(([value]) => value);
    draft.querySelector("[data-draft]").textContent = texts.join("\n\n");
    draft.hidden = !texts.length;
  };

  const swap = (fresh) => {
    let changed = false;
    for (const region of document.querySelectorAll("[data-live]")) {
      const next = fresh.querySelector(`[data-live="${region.dataset.live}"]`);
      if (!next || stripped(next) === stripped(region)) continue;
      const held = remember(region);
      const before = new Set([...region.querySelectorAll("li[data-call]")].map((row) => row.dataset.call));
      region.replaceChildren(...document.importNode(next, true).childNodes);
      restore(region, held);
      for (const row of region.querySelectorAll("li[data-call]")) {
        row.classList.toggle("fresh", !before.has(row.dataset.call));
      }
      changed = true;
    }
    return changed;
  };

  const guard = (before) => {
    const call = document.getElementById("call");
    // What a person changed themselves is shown, and no surprise.
    if (!call || call.dataset.digest === before || call.dataset.follows === before) return;
    // Other arguments may stand there now: nothing is decided before a person says that they have seen that.
    const notice = document.getElementById("changed");
    if (!notice || call.dataset.open !== "yes") return;
    disable(true);
    notice.hidden = false;
    notice.querySelector("button").onclick = () => {
      disable(false);
      notice.hidden = true;
      document.getElementById("main").focus();
    };
  };

  // Signed in again, perhaps in another window.
  let signedOut = false;

  const leave = () => {
    signedOut = true;
    close("You are signed out. Sign in again in another window; what you typed stays here.");
  };

  const comeBack = () => {
    if (!signedOut) return;
    signedOut = false;
    disable(false);
    const notice = document.getElementById("closed");
    if (notice) notice.hidden = true;
  };

  let refreshing = null;
  let again = false;

  const refresh = async () => {
    if (refreshing) {
      again = true;
      return;
    }
    // What answers a form that was refused stands at the form's address, which cannot be fetched.
    refreshing = fetch(root.dataset.page || location.href, { credentials: "same-origin", headers: { Accept: "text/html" } });
    try {
      const answer = await refreshing;
      if (answer.redirected || answer.status === 401) {
        leave();
        return;
      }
      if (answer.status >= 500) throw new Error("away");
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      skew = Date.parse(fresh.documentElement.dataset.now) - Date.now();
      const call = document.getElementById("call");
      const freshCall = fresh.getElementById("call");
      const before = call ? call.dataset.digest : null;
      if (call && !freshCall) {
        const told = fresh.querySelector("[role=alert]");
        close(told ? told.textContent.trim() : "This call cannot be shown any more.");
        return;
      }
      comeBack();
      const changed = swap(fresh);
      if (call && freshCall) {
        Object.assign(call.dataset, freshCall.dataset);
        guard(before);
      }
      root.dataset.seen = fresh.documentElement.dataset.seen;
      document.title = fresh.title;
      const told = fresh.querySelector("[data-announce]");
      if (changed && told) announce(told.dataset.announce);
      tick();
    } catch {
      show("off");
    } finally {
      refreshing = null;
      if (again) {
        again = false;
        refresh();
      }
    }
  };

  // The stream. Browsers keep few connections to one server, so a page that nobody sees has none.
  let stream = null;
  let failures = 0;
  let timer = 0;

  const show = (state) => {
    const sign = document.getElementById("live");
    if (!sign) return;
    sign.dataset.state = state;
    sign.textContent = { on: "live", off: "not live, trying again", ended: "signed out" }[state];
  };

  const follow = () => {
    clearTimeout(timer);
    const path = root.dataset.events;
    if (!path || stream || document.hidden) return;
    const query = `${path.includes("?") ? "&" : "?"}seen=${encodeURIComponent(root.dataset.seen)}`;
    stream = new EventSource(path + query);
    stream.addEventListener("open", () => {
      failures = 0;
      show("on");
    });
    stream.addEventListener("changed", refresh);
    stream.addEventListener("signed-out", () => {
      unfollow();
      show("ended");
      leave();
    });
    stream.addEventListener("error", () => {
      show("off");
      if (stream && stream.readyState === EventSource.CLOSED) {
        unfollow();
        timer = setTimeout(follow, RETRY[Math.min(failures++, RETRY.length - 1)]);
      }
    });
  };

  const unfollow = () => {
    if (stream) stream.close();
    stream = null;
  };

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) unfollow();
    else follow();
  });
  addEventListener("pagehide", unfollow);
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    refresh();
    follow();
  });

  // A form is sent once.
  document.addEventListener("submit", (event) => {
    if (event.target.method !== "post") return;
    if (event.target.dataset.sent) event.preventDefault();
    event.target.dataset.sent = "on";
    setTimeout(() => { delete event.target.dataset.sent; }, 5000);
  });

  // Keys: none decides by itself.
  const move = (step) => {
    const links = [...document.querySelectorAll(".calls a.function")];
    const here = links.indexOf(document.activeElement);
    const next = links[here < 0 ? 0 : Math.min(links.length - 1, Math.max(0, here + step))];
    if (next) next.focus();
  };

  const focusOn = (selector) => {
    const control = document.querySelector(selector);
    if (control) {
      control.focus();
      control.scrollIntoView({ block: "nearest" });
    }
  };

  const KEYS = {
    j: () => move(1),
    k: () => move(-1),
    a: () => focusOn("button.approve[value=approve]"),
    r: () => focusOn("button.reject[value=reject]"),
    e: () => focusOn("#reason"),
    u: () => { if (document.getElementById("call")) document.querySelector(".back a").click(); },
    "?": () => {
      const keys = document.getElementById("keys");
      if (keys) keys.showModal();
    },
  };

  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, textarea, select, dialog, [contenteditable]");
    if (event.key === "Escape" && typing && !typing.closest("dialog") && !event.isComposing) {
      typing.blur();
      return;
    }
    if (typing || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.key !== "?" && localStorage.getItem(KEYS_OFF)) return;
    const act = Object.hasOwn(KEYS, event.key) ? KEYS[event.key] : null;
    if (act) {
      event.preventDefault();
      act();
    }
  });

  const toggle = document.getElementById("keys-on");
  if (toggle) {
    toggle.checked = !localStorage.getItem(KEYS_OFF);
    toggle.addEventListener("change", () => {
      if (toggle.checked) localStorage.removeItem(KEYS_OFF);
      else localStorage.setItem(KEYS_OFF, "on");
    });
    document.getElementById("show-keys").addEventListener("click", KEYS["?"]);
  }

  tick();
  setInterval(tick, 1000);
  follow();
})();
