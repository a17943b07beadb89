// Browsers start no Worker from a page that is opened as a file. For those pages only, a hidden frame does its work, so
// that the site can be searched without a server and without a network.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      this.waiting = []
      document.documentElement.appendChild(frame)
      const inside = frame.contentWindow
      inside.postMessage = data => this.said(data)
      const script = inside.document.createElement("script")
      script.src = new URL(url, location.href)
      script.onload = () => {
        this.frame = inside
        this.waiting.forEach(data => this.postMessage(data))
      }
      inside.document.documentElement.appendChild(script)
    }

    said(data) {
      const event = new MessageEvent("message", { data })
      this.dispatchEvent(event)
      if (this.onmessage) this.onmessage(event)
    }

    postMessage(data) {
      if (!this.frame) this.waiting.push(data)
      else this.frame.dispatchEvent(new this.frame.MessageEvent("message", { data }))
    }

    terminate() {}
  }
}
