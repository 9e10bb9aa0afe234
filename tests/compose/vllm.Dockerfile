# A `vllm` on the PATH beside Python and what our launcher needs of vLLM's own image.
FROM rerank-engine-embedded
USER root
COPY --chmod=755 fake_vllm.py /usr/local/bin/fake_vllm.py
RUN printf '#!/bin/sh\nexec python3 /usr/local/bin/fake_vllm.py "$@"\n' >/usr/local/bin/vllm && chmod 755 /usr/local/bin/vllm
USER 10001:10001
