# A program that is a host of a.abc.com while it runs, at the port that Nomad gives it. hapsync must be in /usr/bin on the clients.
# Nomad sends SIGINT to stop a task: hapsync takes the host out of HAProxy, and then passes the signal on.
job "web" {
  type = "service"

  group "web" {
    count = 2

    network {
      port "http" {}
    }

    task "server" {
      driver       = "raw_exec"
      kill_timeout = "60s"

      config {
        command = "/usr/bin/hapsync"
        args = [
          "register", "--host", "${NOMAD_SHORT_ALLOC_ID}", "--ip", "${NOMAD_IP_http}", "--port", "${NOMAD_PORT_http}",
          "--", "/usr/local/bin/server", "--listen", ":${NOMAD_PORT_http}",
        ]
      }

      env {
        HAPSYNC_DOMAIN    = "a.abc.com"
        HAPSYNC_ENDPOINTS = "http://10.0.0.11:2379,http://10.0.0.12:2379,http://10.0.0.13:2379"
      }
    }
  }
}
