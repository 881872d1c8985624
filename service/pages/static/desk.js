// The pages work without this file: it adds keys and swaps a page's main part instead of loading it anew.
"use strict";
(() => {
  const main = () => document.querySelector("main");
  const find = (key) => main().querySelector(`[data-key="${CSS.escape(key)}"]`);
  const wide = matchMedia("(min-width: 821px)");
  const SAID = ["sudah", "gagal", "jadi", "kedua", "sisa", "lagi", "putusan", "batal", "narasi_batal"];
  let busy = false;

  // What has changed is told to screen readers from a place that is never swapped.
  const told = document.createElement("p");
  told.className = "hidden";
  told.setAttribute("role", "status");
  document.body.append(told);

  function prepare() {
    for (const button of main().querySelectorAll("[data-opens]")) button.hidden = false;
  }

  // --- swapping ----------------------------------------------------------------------------

  async function swap(url, options = {}, { move = false, back = false } = {}) {
    if (busy) return;
    busy = true;
    main().setAttribute("aria-busy", "true");
    try {
      const answer = await fetch(url, { headers: { Accept: "text/html" }, ...options });
      const at = new URL(answer.url);
      const html = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = html.querySelector("main");
      if (!answer.ok || at.pathname !== "/" || !fresh) throw new Error(answer.status);
      show(fresh, html.title);
      // What was said is said once: neither reload nor "back" says it again.
      for (const name of SAID) at.searchParams.delete(name);
      if (move || options.method) history.replaceState(null, "", at.pathname + at.search);
      else if (!back) history.pushState(null, "", at.pathname + at.search);
    } catch {
      // A form is never sent twice: after one, the page as it stands now is loaded.
      location.assign(options.method ? location.pathname + location.search : url);
    } finally {
      busy = false;
      main().removeAttribute("aria-busy");
    }
  }

  function show(fresh, title) {
    const marked = new Set([...main().querySelectorAll("[name=butir]:checked")].map((b) => b.value));
    const inSearch = document.activeElement && document.activeElement.id === "cari";
    const open = [...main().querySelectorAll("details")].map((d) => d.open);
    const top = scrollY;
    main().replaceChildren(...document.importNode(fresh, true).childNodes);
    document.title = title;
    prepare();
    const details = main().querySelectorAll("details");
    if (details.length && open[0]) details[0].open = true;
    for (const box of main().querySelectorAll("[name=butir][type=checkbox]")) box.checked = marked.has(box.value);
    scrollTo(0, top);
    const here = main().querySelector(".here a");
    if (inSearch) find("/").focus({ preventScroll: true });
    else if (here) here.focus({ preventScroll: true });
    else main().focus({ preventScroll: true });
    if (wide.matches) {
      if (here) here.closest("li").scrollIntoView({ block: "nearest" });
    } else {
      const said = main().querySelector(".said, .failed");
      (said || main().querySelector("#kiriman")).scrollIntoView({ block: "start" });
    }
    const said = main().querySelector(".said, .failed");
    const pane = main().querySelectorAll("#judul-kiriman, #kiriman > p.row .badge");
    told.textContent = [said, ...pane].filter(Boolean).map((e) => e.textContent.trim()).join(" ");
  }

  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-opens]");
    if (opener) return document.getElementById(opener.dataset.opens).showModal();
    const link = event.target.closest("[data-swap] a[href]");
    if (!link || "plain" in link.dataset || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    swap(link.href, {}, { move: Boolean(link.closest(".queue")) });
  });

  document.addEventListener("submit", (event) => {
    const form = event.target.closest("[data-swap] form");
    if (!form || form.method === "dialog") return;
    event.preventDefault();
    const fields = new URLSearchParams(new FormData(form, event.submitter));
    if (form.method === "post") return swap(form.action, { method: "POST", body: fields });
    const url = new URL(form.action);
    for (const [name, value] of fields) if (value) url.searchParams.append(name, value);
    swap(url);
  });

  addEventListener("popstate", () => {
    if (main().querySelector("[data-swap]") && location.pathname === "/") swap(location.href, {}, { back: true });
    else location.reload();
  });

  // --- keys --------------------------------------------------------------------------------

  function move(step) {
    const items = [...main().querySelectorAll(".queue > li")];
    const at = items.findIndex((item) => item.classList.contains("here"));
    const to = items[at + step];
    if (to) to.querySelector("a").click();
    else if (step > 0 && find("next")) find("next").click();
  }

  function typing(element) {
    if (!element) return false;
    if (element.isContentEditable || ["TEXTAREA", "SELECT"].includes(element.tagName)) return true;
    return element.tagName === "INPUT" && !["checkbox", "radio", "button", "submit"].includes(element.type);
  }

  document.addEventListener("keydown", (event) => {
    const focused = document.activeElement;
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (document.querySelector("dialog[open]")) return;
    if (event.key === "Escape" && typing(focused)) return focused.blur();
    if (typing(focused)) return;
    let key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (key === "ArrowDown") key = "j";
    if (key === "ArrowUp") key = "k";
    if (key === "j" || key === "k") {
      if (!main().querySelector(".queue")) return;
      event.preventDefault();
      if (!event.repeat || !busy) move(key === "j" ? 1 : -1);
      return;
    }
    // Enter belongs to what has the focus, but for the chosen row, which is shown already.
    const onRow = focused && focused.closest(".here") && focused.tagName === "A";
    if (key === "Enter" && focused !== document.body && focused !== main() && !onRow) return;
    if (key.length > 1 && key !== "Enter") return;
    const target = find(key);
    if (!target || target.disabled || event.repeat) return;
    event.preventDefault();
    if (["SELECT", "INPUT"].includes(target.tagName) && target.type !== "checkbox") target.focus();
    else target.click();
  });

  // --- live --------------------------------------------------------------------------------

  // One connection, while the page is looked at: a browser has few of them for one desk.
  let stream = null;

  function listen() {
    if (document.hidden || stream || !document.querySelector("[data-live]")) return;
    stream = new EventSource("/langsung");
    stream.addEventListener("counts", (event) => tell(JSON.parse(event.data)));
    stream.addEventListener("ended", hush);
  }

  function hush() {
    if (stream) stream.close();
    stream = null;
  }

  function tell(counts) {
    const by = { open: counts.open, alerts: counts.alerts, ...counts.stages };
    for (const place of document.querySelectorAll("[data-live]")) {
      const value = place.dataset.live.split(" ").reduce((sum, name) => sum + (by[name] || 0), 0);
      place.textContent = value.toLocaleString("id-ID");
      if ("quiet" in place.dataset) place.hidden = !value;
    }
    const news = document.querySelector("[data-news]");
    if (!news) return;
    const moments = counts[news.dataset.news];
    const many = moments.filter((moment) => moment > Number(news.dataset.since)).length;
    news.hidden = !many;
    if (!many || news.dataset.many === String(many)) return;
    news.dataset.many = many;
    const link = document.createElement("a");
    link.href = location.href;
    link.textContent = "muat ulang";
    news.replaceChildren(`${many >= 20 ? `${many} atau lebih` : many} ${news.dataset.said} — `, link, ".");
  }

  document.addEventListener("visibilitychange", () => (document.hidden ? hush() : listen()));
  addEventListener("pagehide", hush);
  addEventListener("pageshow", listen);

  prepare();
  listen();
})();
