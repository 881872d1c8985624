// The pages work without this file: it adds keys and swaps a page's main part instead of loading it anew.
"use strict";
