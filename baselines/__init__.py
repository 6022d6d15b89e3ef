"""The methods MTL-LoRA is compared with, one file each; importing this package registers them all.

So it does the methods of other installed packages: those that name a module under the entry point group METHOD_PLUGINS.
"""

import importlib
import pkgutil

from mtl_lora.plugins import method_plugins

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
for _plugin in method_plugins():
    _plugin.load()
