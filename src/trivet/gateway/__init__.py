"""The TLS port and the CONNECT proxy, by which Google's SDKs find Trivet where they expect Google.

A process of its own: it speaks TLS and gRPC, and passes every request on to the plain HTTP port.
"""
