// The page of the API that the gateway serves beside it. A key is entered with "Authorize" and stays in this tab.
import { show } from "./swagger.js";

show();
