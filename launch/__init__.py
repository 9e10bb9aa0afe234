"""The launcher: starts vLLM or the embedded engine, the gateway and the studio, and keeps them running.

commands      __main__ reads the command line · up · foreground (`engine`) · dry_run · listing (`models`) · doctor
              container is the start of the gateway in a container
models        catalogue reads models.yaml · selection picks from it
machine       hardware measures memory · vllm finds vLLM · machine is both
an engine     memory plans its sizes · command writes its command line · engine is both · engine_log reads its log
the gateway   gateway_config (the only module that imports gateway/) · readiness · introduction · studio
supervision   lifecycle decides (pure) · supervisor is the loop · child carries out · program · output · reaper ·
              signals · tasks · workspace · status_server reports to the gateway
below all     errors · address · console
embedded/     the engine that needs no vLLM
"""
