// When the session is over, nothing of a patient stays on the screen. A socket that closes is the
// sign: with code 4401 the server says so; otherwise the page asks, because after a pause of the
// machine the browser hears nothing. Without logins the question is answered by the page itself.
"use strict";
(() => {
  const ENDED = 4401;
  const leave = (why) => {
    document.body?.replaceChildren();
    const here = encodeURIComponent(location.pathname + location.search);
    location.replace(`/access/login?ended=${encodeURIComponent(why)}&next=${here}`);
  };
  const Plain = window.WebSocket;
  window.WebSocket = class extends Plain {
    constructor(...given) {
      super(...given);
      this.addEventListener("close", async (event) => {
        if (event.code === ENDED) return leave(event.reason);
        const answer = await fetch("/access/session", { cache: "no-store" }).catch(() => null);
        if (answer?.status === 401) leave("idle");
      });
    }
  };
})();
