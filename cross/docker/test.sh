#!/usr/bin/env bash
# What jetson-containers runs in the image: it works, and says which engine it takes.
set -euo pipefail
mdetr --version
mdetr-monitor check /etc/mdetr/monitor.toml
GST_DEBUG=mdetr:4 gst-launch-1.0 tabletopsrc num-buffers=2 ! mdetr query="all cones" ! mdetr2json ! fakesink
