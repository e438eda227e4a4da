from mtughost.app.api import audit as audit
from mtughost.app.api import diagnose_capture as diagnose_capture
from mtughost.app.api import diagnose_site as diagnose_site
from mtughost.app.api import stored_run as stored_run

__version__: str
