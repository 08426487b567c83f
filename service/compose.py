"""The one place where the objects of the service are built and joined.

In: paths and settings. Out: an `Application` (service/application.py) over one store. Everything else receives what it
needs from here.
"""

from service.application import Application

__all__ = ["Application"]
