// What a page does with WebRTC, told to `peer-cli test`. It changes nothing that the page could notice, but for the time.
(() => {
  const tell = globalThis.__peerlineTell;
  if (tell === undefined || globalThis.__peerline !== undefined) return;
  const MOST = 64 * 1024;
  const say = (event) => {
    try {
      tell(JSON.stringify(event));
    } catch {
      // The page is going away.
    }
  };

  // Signaling: whatever carries it, descriptions and candidates look the same.
  const signal = (text) => {
    if (text.includes("a=fingerprint:")) return /\\?"type\\?"\s*:\s*\\?"answer/.test(text) ? "answer" : "offer";
    return /candidate:\S+ \d+ /.test(text) ? "candidate" : undefined;
  };
  const note = (what, body) => {
    if (typeof body !== "string") return;
    const found = signal(body.slice(0, MOST));
    if (found !== undefined) say({ what, signal: found, candidates: (body.match(/a=candidate:/g) ?? []).length });
  };
  const RealSocket = globalThis.WebSocket;
  if (RealSocket !== undefined) {
    globalThis.WebSocket = class WebSocket extends RealSocket {
      constructor(...words) {
        super(...words);
        const url = String(this.url).slice(0, 200);
        this.addEventListener("open", () => say({ what: "socket", url, state: "open" }));
        this.addEventListener("error", () => say({ what: "socket", url, state: "error" }));
        this.addEventListener("message", ({ data }) => note("heard", data));
      }
      send(data) {
        note("sent", data);
        super.send(data);
      }
    };
  }
  const realFetch = globalThis.fetch;
  if (realFetch !== undefined) {
    globalThis.fetch = function fetch(resource, options) {
      note("sent", options?.body);
      return realFetch.call(this, resource, options);
    };
  }
  const RealRequest = globalThis.XMLHttpRequest;
  if (RealRequest !== undefined) {
    const send = RealRequest.prototype.send;
    RealRequest.prototype.send = function (body) {
      note("sent", body);
      return send.call(this, body);
    };
  }

  const devices = globalThis.navigator?.mediaDevices;
  if (devices?.getUserMedia !== undefined) {
    const real = devices.getUserMedia.bind(devices);
    devices.getUserMedia = async (wanted) => {
      try {
        return await real(wanted);
      } catch (error) {
        say({ what: "media-refused", error: String(error) });
        throw error;
      }
    };
  }

  const Real = globalThis.RTCPeerConnection;
  const connections = [];
  globalThis.__peerline = {
    // Frames that were decoded, or packets of sound.
    frames: async (kind) => {
      let count = 0;
      for (const connection of connections) {
        for (const report of (await connection.getStats()).values()) {
          if (report.type !== "inbound-rtp" || report.kind !== kind) continue;
          count += (kind === "video" ? report.framesDecoded : report.packetsReceived) ?? 0;
        }
      }
      return count;
    },
  };
  if (Real === undefined) return;

  const channelEvents = (pc, channel, theirs) => {
    const { label } = channel;
    const opened = () => say({ what: "channel-open", pc, label });
    if (channel.readyState === "open") opened();
    channel.addEventListener("open", opened);
    channel.addEventListener("close", () => say({ what: "channel-close", pc, label, theirs }));
  };
  const text = (description) => String(description?.sdp ?? "").slice(0, MOST);

  globalThis.RTCPeerConnection = class RTCPeerConnection extends Real {
    #number = connections.length;
    #heard = false;

    constructor(...words) {
      super(...words);
      const pc = this.#number;
      connections.push(this);
      say({ what: "connection", pc });
      super.addEventListener("icecandidate", ({ candidate }) => candidate?.candidate && say({ what: "candidate-found", pc }));
      super.addEventListener("connectionstatechange", () => say({ what: "state", pc, state: this.connectionState }));
      super.addEventListener("datachannel", ({ channel }) => {
        const heard = this.#heard || this.ondatachannel !== null;
        say({ what: "channel-in", pc, label: channel.label, heard });
        channelEvents(pc, channel, true);
      });
    }

    addEventListener(type, ...rest) {
      if (type === "datachannel") this.#heard = true;
      super.addEventListener(type, ...rest);
    }

    createDataChannel(label, options) {
      const channel = super.createDataChannel(label, options);
      say({ what: "channel", pc: this.#number, label: String(label), negotiated: options?.negotiated === true });
      channelEvents(this.#number, channel, false);
      return channel;
    }

    async #told(call, act) {
      const state = this.signalingState;
      try {
        return await act();
      } catch (error) {
        say({ what: "refused", pc: this.#number, call, state, error: String(error).slice(0, 300), described: this.remoteDescription !== null });
        throw error;
      }
    }

    async setLocalDescription(...words) {
      await this.#told("setLocalDescription", () => super.setLocalDescription(...words));
      const description = this.localDescription;
      if (description) say({ what: "local", pc: this.#number, type: description.type, sdp: text(description) });
    }

    async setRemoteDescription(...words) {
      await this.#told("setRemoteDescription", () => super.setRemoteDescription(...words));
      const description = this.remoteDescription;
      if (description) say({ what: "remote", pc: this.#number, type: description.type, sdp: text(description) });
    }

    async addIceCandidate(...words) {
      return await this.#told("addIceCandidate", () => super.addIceCandidate(...words));
    }
  };
  if (globalThis.webkitRTCPeerConnection !== undefined) globalThis.webkitRTCPeerConnection = globalThis.RTCPeerConnection;
})();
