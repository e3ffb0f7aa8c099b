# `syncnet serve` in a container, on the CPU:
#   docker build --tag syncnet . && docker run --rm --publish 127.0.0.1:8000:8000 --env SYNCNET_TOKEN=... syncnet
FROM python:3.12-slim

# OpenCV's.
RUN apt-get update && apt-get install --yes --no-install-recommends libgl1 libglib2.0-0 && rm -rf /var/lib/apt/lists/*

WORKDIR /app
COPY requirements.lock pyproject.toml ./
# Versions and hashes of the lock; torch first, by itself: built for CPUs, it has no hash there, and is half the size.
RUN python -m pip install --no-cache-dir "$(sed -n 's/^\(uv==[^ ]*\).*/\1/p' requirements.lock)"
RUN python -m uv pip install --system --no-cache --torch-backend cpu "$(sed -n 's/^\(torch==[^ ]*\).*/\1/p' requirements.lock)"
RUN python -m uv pip install --system --no-cache --constraint requirements.lock --requirement pyproject.toml --extra serve

COPY README.md LICENSE ./
COPY syncnet_lib syncnet_lib
RUN python -m uv pip install --system --no-cache --no-deps . && rm -rf /app/*

RUN useradd --home-dir /app --uid 1000 syncnet && chown syncnet /app
USER syncnet
EXPOSE 8000
ENTRYPOINT ["syncnet", "serve", "--host", "0.0.0.0"]
