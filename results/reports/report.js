"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("alive"); // without this script its buttons are not shown
  const said = document.getElementById("said");
  const say = text => { said.textContent = text; };
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // Storage may be refused, as in a page from a file in a private window; then nothing is kept.
  const keep = (name, value) => { try { sessionStorage.setItem(location.pathname + name, value); } catch { /* so be it */ } };
  const kept = name => { try { return sessionStorage.getItem(location.pathname + name); } catch { return null; } };

  const theme = document.getElementById("theme");
  const themes = ["system", "light", "dark"];
  const setTheme = name => {
    if (name === "system") delete root.dataset.theme;
    else root.dataset.theme = name;
    theme.textContent = "Theme: " + name;
    keep("theme", name);
  };
  theme.addEventListener("click", () => {
    setTheme(themes[(themes.indexOf(root.dataset.theme || "system") + 1) % themes.length]);
  });
  if (themes.includes(kept("theme"))) setTheme(kept("theme"));

  const value = cell => cell.dataset.value ?? cell.textContent;
  const numeric = text => text.trim() !== "" && !Number.isNaN(Number(text));
  const place = (table, name) => [...table.tHead.rows[0].cells].findIndex(head => head.dataset.name === name);

  // Missing values stay last in both directions; texts sort by their numbers, too: layer2 before layer10.
  const sort = (table, head, direction) => {
    const at = head.cellIndex, sign = direction === "ascending" ? 1 : -1;
    const rows = [...table.tBodies[0].rows].map(row => [value(row.cells[at]), row]);
    rows.sort(([a], [b]) => {
      if (a === "" || b === "") return (a === "") - (b === "");
      if (numeric(a) && numeric(b)) return sign * (Number(a) - Number(b));
      return sign * a.localeCompare(b, undefined, { numeric: true });
    });
    table.tBodies[0].append(...rows.map(([, row]) => row));
    all("th", table).forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", direction);
    keep("sort-" + table.id, JSON.stringify([head.dataset.name, direction]));
  };

  const compare = {
    "<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b,
    "=": (a, b) => a === b, "!=": (a, b) => a !== b,
  };
  // A term is a word to be found, or NAME OPERATOR VALUE; quotes hold together what has blanks.
  const terms = (text, table) => (text.match(/(?:"[^"]*"|[^\s"])+/g) || []).map(raw => {
    const parts = raw.match(/^("[^"]*"|[^<>=!"]+)(<=|>=|!=|<|>|=)(.+)$/);
    const plain = word => word.replace(/"/g, "");
    if (!parts) {
      const word = plain(raw).toLowerCase();
      return row => row.textContent.toLowerCase().includes(word);
    }
    const name = plain(parts[1]), wanted = plain(parts[3]), holds = compare[parts[2]], at = place(table, name);
    if (at < 0) throw new Error(`There is no column ${name}.`);
    return row => {
      const found = value(row.cells[at]);
      if (numeric(found) && numeric(wanted)) return holds(Number(found), Number(wanted));
      return found !== "" && holds(found.toLowerCase(), wanted.toLowerCase());
    };
  });

  const ranking = table => {
    const prefix = table.dataset.prefix, rows = [...table.tBodies[0].rows];
    const field = document.getElementById(prefix + "filter"), shown = document.getElementById(prefix + "shown");
    const lines = new Map();
    all(`[id^="${prefix}parallel-trial-"]`).forEach(line => lines.set(line.id.slice(`${prefix}parallel-trial-`.length), line));
    for (const head of table.tHead.rows[0].cells) {
      if (!head.dataset.name) continue;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const falling = head.getAttribute("aria-sort") === "ascending";
        sort(table, head, falling ? "descending" : "ascending");
        say(`Sorted by ${head.dataset.name}, ${head.getAttribute("aria-sort")}.`);
      });
    }
    const filter = () => {
      let tests = [], wrong = "";
      try { tests = terms(field.value, table); } catch (error) { wrong = error.message; }
      let number = 0;
      for (const row of rows) {
        const fits = tests.every(test => test(row));
        number += fits;
        row.hidden = !fits;
        lines.get(row.dataset.trial)?.classList.toggle("faint", !fits);
      }
      shown.textContent = wrong || `${number} of ${rows.length} settings`;
      shown.classList.toggle("wrong", wrong !== "");
      field.setAttribute("aria-invalid", String(wrong !== ""));
      keep("filter-" + table.id, field.value);
    };
    field.addEventListener("input", filter);
    field.form.addEventListener("submit", event => event.preventDefault());
    field.value = kept("filter-" + table.id) ?? "";
    if (field.value) filter();
    const order = JSON.parse(kept("sort-" + table.id) ?? "null");
    const head = order && table.tHead.rows[0].cells[place(table, order[0])];
    if (head) sort(table, head, order[1]);
  };
  all("table.ranking").forEach(ranking);

  const quoted = text => (/[",\n\r]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text);
  const csv = table => [...table.rows].filter(row => !row.hidden).map(row =>
    [...row.cells].filter(cell => !cell.classList.contains("interval"))
      .map(cell => quoted(cell.tagName === "TH" ? cell.dataset.name : value(cell))).join(",")).join("\n") + "\n";
  const write = async text => {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch { // refused, as some browsers do in a page from a file
      const area = document.createElement("textarea");
      area.value = text;
      area.className = "hidden";
      document.body.append(area);
      area.select();
      const done = document.execCommand("copy");
      area.remove();
      return done;
    }
  };
  all("button.copy").forEach(button => button.addEventListener("click", async () => {
    const table = document.getElementById(button.dataset.copies), text = csv(table);
    const done = await write(text);
    button.focus();
    if (!done) { // then the reader can: the table is opened and selected
      table.closest("details")?.setAttribute("open", "");
      getSelection().selectAllChildren(table);
    }
    const rows = [...table.tBodies[0].rows].filter(row => !row.hidden).length;
    say(done ? `Copied ${rows} rows as CSV.` : "The browser refuses to copy; the table is selected, copy it by the keyboard.");
    button.textContent = done ? "Copied" : "Selected";
    setTimeout(() => { button.textContent = "Copy data"; }, 2000);
  }));

  const links = new Map(all("nav a").map(link => [decodeURIComponent(link.hash.slice(1)), link]));
  const seen = new Set();
  const watch = new IntersectionObserver(entries => {
    entries.forEach(entry => seen[entry.isIntersecting ? "add" : "delete"](entry.target.id));
    const current = [...links.keys()].find(id => seen.has(id));
    if (!current) return;
    links.forEach((link, id) => {
      if (id === current) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    });
    const link = links.get(current), nav = link.closest("nav");
    if (nav.scrollWidth > nav.clientWidth) nav.scrollTo({ left: link.offsetLeft - nav.clientWidth / 3 });
  }, { rootMargin: "-15% 0px -60% 0px" });
  all("main section").forEach(section => { if (links.has(section.id)) watch.observe(section); });

  // A page of a run that goes on loads itself anew, unless the reader has paused that.
  const seconds = Number(document.body.dataset.refresh);
  const pause = document.getElementById("pause");
  if (seconds && pause) {
    let timer = 0;
    const set = paused => {
      clearTimeout(timer);
      if (!paused) timer = setTimeout(() => location.reload(), seconds * 1000);
      pause.setAttribute("aria-pressed", String(paused));
      keep("paused", paused ? "1" : "");
    };
    pause.addEventListener("click", () => set(pause.getAttribute("aria-pressed") !== "true"));
    set(kept("paused") === "1");
  }
})();
