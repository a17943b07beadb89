# The demo in a container, on a CPU:
#   docker build -t sepm-eval . && docker run --rm sepm-eval
# With a GPU (NVIDIA's container toolkit on the host), and any command in place of the demo:
#   docker build -t sepm-eval:cuda --build-arg BASE=nvidia/cuda:12.8.1-runtime-ubuntu24.04 \
#       --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu128 .
#   docker run --rm --gpus all -v /data:/data -e SEPM_EVAL_DATA=/data sepm-eval:cuda sepm-eval doctor
ARG BASE=ubuntu:24.04
FROM ${BASE}

ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 python3-venv python3-dev gcc g++ \
    && rm -rf /var/lib/apt/lists/*

ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1
RUN python3 -m venv /opt/venv \
    && pip install --no-cache-dir torch torchvision --index-url "${TORCH_INDEX}"

WORKDIR /opt/sepm_eval
COPY pyproject.toml README.md LICENSE ./
COPY sepm_eval sepm_eval
COPY model_wrappers model_wrappers
COPY tasks tasks
COPY demo demo
RUN pip install --no-cache-dir .

RUN useradd --create-home user && mkdir results && chown user results
USER user
CMD ["python", "demo/run.py"]
