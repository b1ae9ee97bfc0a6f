# An image with gaid, for the CPU (--target cpu) or for NVIDIA's GPUs (--target cuda). docs/docker.md shows how to use it.
# It holds no weights of encoders and no data: both lie in the volume /data.
ARG PYTHON=3.12.11-slim-bookworm

FROM python:${PYTHON} AS build
# Extras of pyproject.toml that are installed.
ARG EXTRAS=clap,offline,serve,watch
# The address of PyTorch's index of CPU wheels makes the image 4 GB smaller; empty: wheels for CUDA, which run on a CPU too.
ARG TORCH_INDEX=""
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_EXTRA_INDEX_URL=${TORCH_INDEX}
RUN python -m venv /opt/gaid
WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY gaid gaid
RUN /opt/gaid/bin/python -m pip install -c constraints.txt ".[${EXTRAS}]"

FROM python:${PYTHON} AS cpu
COPY --from=build /opt/gaid /opt/gaid
RUN useradd --uid 10001 --create-home gaid && mkdir /data && chown gaid:gaid /data
ENV PATH=/opt/gaid/bin:${PATH} HF_HOME=/data/huggingface XDG_CACHE_HOME=/data/cache MPLCONFIGDIR=/tmp/matplotlib
USER gaid
WORKDIR /data
VOLUME /data
ENTRYPOINT ["gaid"]
CMD ["--help"]

FROM cpu AS cuda
# What NVIDIA's container toolkit gives to the container; CUDA's libraries come with PyTorch's wheels.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
